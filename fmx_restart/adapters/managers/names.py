"""Names of process managers that other rooms have to know: keys of common_site_config.json, and processes."""

#: Where supervisord listens; its URL may hold a password
ADDRESS = "fmx_restart_supervisor_url"
#: A list of managers that cannot be found, or that want a password
MANAGERS = "fmx_restart_managers"
#: The kinds, as the setting writes them
SUPERVISOR = "supervisor"
SYSTEMD = "systemd"
DOCKER = "docker"
KUBERNETES = "kubernetes"
#: What a manager's own process is called
SERVERS = frozenset({"supervisord"})
