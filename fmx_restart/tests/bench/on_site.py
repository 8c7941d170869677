"""
What tests do on a site from inside Frappe, in a process of its own. Run by Frappe's interpreter in the sites folder. Each
line of stdin is [function, arguments], each line of stdout {"answer"} or {"error"}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import frappe
import redis
from frappe.utils.password import set_encrypted_password

ATTACK = "fmx attack"  # in the names of what attach_attacks makes
#: Who tries what in tests: name → user type and roles. The manager first: Frappe makes a site's first user one.
PEOPLE = {
	"manager": ("System User", ["System Manager"]),
	"operator": ("System User", ["Restart Operator"]),
	"desk": ("System User", ["Blogger"]),
	"website": ("Website User", []),
}


#: The arguments of fmx_restart.api.start, where a request gives none.
NOTHING_GIVEN = {
	**dict.fromkeys(("strategy", "on_timeout", "rolling_share", "repeat"), ""),
	**dict.fromkeys(("host_batch", "host_pause", "canary"), ""),
	**dict.fromkeys(
		("wait_workers_timeout", "force_kill_timeout", "rolling_max_failures", "migrate_timeout")
	),
	**dict.fromkeys(("sites", "maintenance_mode", "hosts", "at")),
	**dict.fromkeys(("migrate", "backup", "skip_failing", "hold_web", "update_config", "force"), False),
	"web": True,
	"workers": True,
}


def people() -> dict[str, str]:
	"""Name → API token. Users stay, tokens are new each time."""
	return {name: token_of(person(name, *kind)) for name, kind in PEOPLE.items()}


def person(name: str, user_type: str, roles: list[str]) -> str:
	email = f"fmx-{name}@example.com"
	if not frappe.db.exists("User", email):
		user = frappe.get_doc(
			{"doctype": "User", "email": email, "first_name": name, "send_welcome_email": 0}
		)
		user.flags.ignore_password_policy = True
		user.insert(ignore_permissions=True)
	if missing := set(roles) - set(
		frappe.get_roles(email)
	):  # the role leaves its users when the app is uninstalled
		frappe.get_doc("User", email).add_roles(*missing)
	assert frappe.db.get_value("User", email, "user_type") == user_type, name
	return email


def token_of(email: str) -> str:
	"""Not by saving the user: that takes seconds."""
	key, secret = frappe.generate_hash(length=15), frappe.generate_hash(length=15)
	frappe.db.set_value("User", email, "api_key", key)
	set_encrypted_password("User", email, secret, "api_secret")
	frappe.clear_cache(user=email)
	return f"{key}:{secret}"


def put_in_line(user: str, site: str = "", **options) -> str:
	"""An operation, as it is where the web process that was asked for it died before anybody launched it. `site`: another one."""
	home = frappe.local.site
	go_to(site or home)
	try:
		return put_in_line_here(user, options)
	finally:
		go_to(home)


def go_to(site: str) -> None:
	"""As Administrator."""
	frappe.destroy()
	frappe.init(site)
	frappe.connect()


def put_in_line_here(user: str, options: dict) -> str:
	from fmx_restart.desk import launch, start

	frappe.set_user(user)
	operation, is_new = start.put_in_line(start.StartArguments.of({**NOTHING_GIVEN, **options}), "")
	assert is_new, operation
	launch.enqueue(operation)
	frappe.db.commit()
	return operation


def publish_until(end: str, event: str, user: str) -> list[tuple[float, bool]]:
	"""
	Numbered messages for that user's browsers, 50 a second, until the file `end` exists. Returns of each when it was
	published, in seconds since the epoch, and whether one alone was subscribed before and after: socketio or an operation.
	"""
	connection = redis.Redis.from_url(frappe.conf.redis_queue)

	def is_one_subscribed() -> bool:
		((_, count),) = connection.pubsub_numsub("events")
		return count == 1

	published: list[tuple[float, bool]] = []
	while not Path(end).exists():
		at, is_one = time.time(), is_one_subscribed()
		frappe.publish_realtime(event, {"number": len(published)}, user=user)
		published.append((at, is_one_subscribed() and is_one))
		time.sleep(0.02)
	return published


def catch_up() -> list[str]:
	from fmx_restart.desk.sync import catch_up

	return catch_up()


def run_scheduled(method: str) -> None:
	"""As a worker does for the site's scheduler."""
	from frappe.core.doctype.scheduled_job_type.scheduled_job_type import run_scheduled_job

	run_scheduled_job(job_type=method)


def disable(user: str, *, enabled: int = 0) -> None:
	frappe.db.set_value("User", user, "enabled", enabled)
	frappe.clear_cache(user=user)


def notifications(operation: str) -> list[dict]:
	"""Of anybody, about it."""
	fields = ["for_user", "subject", "email_content", "creation"]
	found = frappe.get_all("Notification Log", {"document_name": operation}, fields)
	zone = ZoneInfo(frappe.utils.get_system_timezone())
	return [{**told, "at": told.creation.replace(tzinfo=zone).timestamp()} for told in found]


def row(operation: str) -> dict | None:
	if not frappe.db.exists("Restart Operation", operation):
		return None
	return frappe.get_doc("Restart Operation", operation).as_dict()


def rows(prefix: str) -> list[str]:
	return frappe.get_all("Restart Operation", {"name": ("like", f"{prefix}%")}, pluck="name")


def record_end(operation: str, user: str, *, is_on: bool = False) -> None:
	"""As the job at an end, of an operation that this user is made to have started."""
	from fmx_restart.desk.ended import record

	frappe.db.set_value("Restart Operation", operation, "user", user)
	if is_on:
		frappe.conf.fmx_restart_notify_end = 1
	record(operation)


def make_row(operation: str) -> None:
	"""Of an operation that never was."""
	from fmx_restart.desk import rows

	rows.insert(operation, {"status": "Running", "strategy": "fast", "started": time.time()})


def plant(name: str, **values) -> None:
	"""A row as an administrator of the site's database can make it."""
	row = {"name": name, "strategy": "fast", "started": frappe.utils.now(), **values}
	columns = ", ".join(f"`{column}`" for column in row)
	holes = ", ".join(["%s"] * len(row))
	frappe.db.sql(f"INSERT INTO `tabRestart Operation` ({columns}) VALUES ({holes})", tuple(row.values()))


def forge(operation: str, command: str) -> None:
	"""As `plant`: everything in a row that someone might believe."""
	options = json.dumps({"migration": {"command": ["sh", "-c", "id"]}})
	frappe.db.sql(
		"""UPDATE `tabRestart Operation` SET command=%s, options=%s, origin='Terminal', strategy='fast', sites='all',
		migrate=1, requested_by='--migrate-command=id', journal='/etc/passwd', journal_size=0 WHERE name=%s""",
		(command, options, operation),
	)


def attach_attacks(command: str) -> None:
	"""Whatever a site's System Manager can attach to rows: each tries to set the command, saves again, or raises."""
	for event in ("New", "Save"):
		alert = frappe.new_doc("Notification", subject=f"{ATTACK} {event}", document_type="Restart Operation")
		alert.update(
			{"name": f"{ATTACK} {event}", "event": event, "enabled": 1, "channel": "System Notification"}
		)
		alert.update({"set_property_after_alert": "command", "property_value": command, "message": "x"})
		alert.append("recipients", {"receiver_by_role": "System Manager"})
		alert.insert(ignore_permissions=True)
	for event, code in scripts(command).items():
		script = frappe.new_doc("Server Script", script_type="DocType Event", script=code)
		script.update({"name": f"{ATTACK} {event}", "reference_doctype": "Restart Operation"})
		script.doctype_event = event
		script.insert(ignore_permissions=True)


def scripts(command: str) -> dict[str, str]:
	change = f"doc.flags.from_the_journal = True\ndoc.command = doc.options = {command!r}\n"
	note = f"frappe.get_doc(dict(doctype='Error Log', method='{ATTACK} script')).insert(ignore_permissions=True)\n"
	return {
		"Before Insert": change,
		"Before Validate": change,
		"Before Save": f"{change}doc.strategy = 'nonsense'\n",
		"After Insert": f"{change}frappe.db.rollback()\n",
		"After Save": f"{note}frappe.db.commit()\n{change}doc.save(ignore_permissions=True)\n",
	}


def detach_attacks() -> None:
	for doctype in ("Notification", "Server Script"):
		for name in frappe.get_all(doctype, {"name": ("like", f"{ATTACK}%")}, pluck="name"):
			frappe.delete_doc(doctype, name, force=True)
	frappe.db.delete("Error Log", {"method": ("like", f"{ATTACK}%")})


def are_attacks_forgotten() -> bool:
	"""A process that began its transaction before they were deleted may note once more that they are there."""
	is_noted = ATTACK in str(frappe.cache().get_value("server_script_map"))
	if is_noted:
		frappe.clear_cache()
	return not is_noted


def attacks_that_ran() -> list[str]:
	"""Frappe logs a Notification whose save failed under its name; the scripts leave a note."""
	found = {"Server Script": frappe.db.exists("Error Log", {"method": f"{ATTACK} script"})}
	alerts = {"reference_doctype": "Notification", "reference_name": ("like", f"{ATTACK}%")}
	found["Notification"] = frappe.db.exists("Error Log", alerts)
	return [kind for kind, name in found.items() if name]


def delete(operation: str) -> None:
	frappe.delete_doc("Restart Operation", operation)


def forget(prefix: str) -> None:
	"""Rows of tests, without a trace."""
	children = [field.options for field in frappe.get_meta("Restart Operation").get_table_fields()]
	for doctype, field in (
		*((child, "parent") for child in children),
		("Restart Operation", "name"),
		("Deleted Document", "deleted_name"),
	):
		frappe.db.delete(doctype, {field: ("like", f"{prefix}%")})


def grow_old(operation: str, days: int) -> None:
	created = frappe.utils.add_days(frappe.utils.now(), -days)
	frappe.db.set_value("Restart Operation", operation, "creation", created, update_modified=False)


def clear_logs(days: int) -> None:
	"""As Frappe does every night."""
	from frappe.model.base_document import get_controller

	get_controller("Restart Operation").clear_old_logs(days=days)


def children(operation: str) -> int:
	return frappe.db.count("Restart Operation Phase", {"parent": operation})


def child_names(operation: str) -> list[str]:
	return frappe.get_all("Restart Operation Phase", {"parent": operation}, order_by="idx", pluck="name")


def kept_days() -> int:
	"""As Log Settings has it."""
	settings = frappe.get_single("Log Settings")
	return next(entry.days for entry in settings.logs_to_clear if entry.ref_doctype == "Restart Operation")


def note_run() -> None:
	"""As the scheduler does when an event begins: on a bench that is as it was built none may have begun yet."""
	event = frappe.get_all("Scheduled Job Type", limit=1, pluck="name")[0]
	frappe.db.set_value("Scheduled Job Type", event, "last_execution", frappe.utils.now())


def error_logs(text: str) -> int:
	return frappe.db.count("Error Log", {"method": ("like", f"%{text}%")})


def main(site: str) -> None:
	for line in sys.stdin:
		function, given = json.loads(line)
		frappe.init(site=site, force=True)
		frappe.connect()
		try:
			answer = {"answer": globals()[function](**given)}
			frappe.db.commit()
		except Exception:  # noqa: BLE001 - the test that asked is told
			answer = {"error": frappe.get_traceback()}
		frappe.destroy()
		click.echo(json.dumps(answer, default=str), file=answers)


if __name__ == "__main__":
	answers, sys.stdout = sys.stdout, sys.stderr  # what Frappe prints is no answer
	main(sys.argv[1])
