"""A site's configuration as Frappe puts it together, read strictly and without Frappe (frappe.get_site_config)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from fmx_restart.adapters.site_config import parsed

OVERRIDES = ("db_host", "db_name", "db_password", "db_port", "db_socket", "db_type", "db_user")


def site_settings(bench_path: Path, site: str, environ: Mapping[str, str] = os.environ) -> dict:
	"""The site's own over the common ones, the environment over both. Raises WrongEnvironment for a broken file."""
	sites = Path(bench_path, "sites")
	common = sites / "common_site_config.json"
	found = parsed(common)[0] if common.exists() else {}
	found = {**found, **parsed(sites / site / "site_config.json")[0]}
	named = {
		name: environ[f"FRAPPE_{name.upper()}"] for name in OVERRIDES if environ.get(f"FRAPPE_{name.upper()}")
	}
	return {**found, **named}


def database_address(config: Mapping) -> str:
	"""As people write it: host:port, or a socket's path."""
	port = 5432 if config.get("db_type") == "postgres" else 3306
	host = config.get("db_host") or "127.0.0.1"
	return str(config.get("db_socket") or f"{host}:{config.get('db_port') or port}")
