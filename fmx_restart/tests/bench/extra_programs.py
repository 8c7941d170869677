"""Programs that a test adds to the development bench's supervisord for a while, and takes out again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from xmlrpc.client import Fault

import redis

from fmx_restart.tests.adapters.waiting import eventually

if TYPE_CHECKING:
	from development.description import Bench

GROUP = "bench-test"
PROGRAM = """\
[program:{name}]
command={bench}/bench {command}
directory={path}
autorestart=true
stopwaitsecs=60
killasgroup=true
redirect_stderr=true
stdout_logfile={path}/logs/bench-test.log

"""


@contextmanager
def extra_programs(bench: Bench, **commands: str) -> Iterator[None]:
	"""One group of programs, each `name="worker --queue x"`. Inside the block all of them run."""
	from development.services import process_info
	from development.supervisor_client import supervisor

	rpc = supervisor(bench.supervisor_socket)
	file = bench.private_path / "programs" / f"{GROUP}.conf"
	sections = [
		PROGRAM.format(name=name, command=command, bench=bench.tools, path=bench.path)
		for name, command in commands.items()
	]
	file.write_text("".join(sections) + f"[group:{GROUP}]\nprograms={','.join(commands)}\n")
	try:
		rpc.reloadConfig()
		rpc.addProcessGroup(GROUP)
		eventually(
			lambda: all(i["statename"] == "RUNNING" for i in process_info(bench)), "they run", deadline=60
		)
		yield
	finally:
		file.unlink()
		with suppress(Fault):  # it was never added
			rpc.stopProcessGroup(GROUP)
			rpc.removeProcessGroup(GROUP)
		rpc.reloadConfig()


@contextmanager
def custom_queue(bench: Bench, queue: str) -> Iterator[None]:
	"""As an administrator adds one: `workers` in common_site_config.json. Afterwards the file is as it was, to the byte, and RQ knows no such queue."""
	from development.state import write_atomically

	path = bench.sites_path / "common_site_config.json"
	found = path.read_text()
	config = json.loads(found)
	config.setdefault("workers", {})[queue] = {"timeout": 777}
	write_atomically(path, json.dumps(config, indent=1))
	try:
		yield
	finally:
		write_atomically(path, found)
		with redis.Redis(port=bench.ports.redis_queue, decode_responses=True) as connection:
			for key in connection.smembers("rq:queues"):
				if key.endswith(f":{queue}"):
					connection.srem("rq:queues", key)
					connection.delete(key)
