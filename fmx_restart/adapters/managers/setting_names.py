"""Keys of common_site_config.json that belong to a process manager."""

#: Where supervisord listens; its URL may hold a password
ADDRESS = "fmx_restart_supervisor_url"
