from __future__ import annotations

import unittest

from fmx_restart.adapters.command_line import bench_command, split_words
from fmx_restart.adapters.process_kinds import is_data_store, kind_of
from fmx_restart.engine.ports import ProcessKind

WEB, WORKER, SCHEDULER, SOCKETIO = (
	ProcessKind.WEB,
	ProcessKind.WORKER,
	ProcessKind.SCHEDULER,
	ProcessKind.SOCKETIO,
)
KINDS = {
	"/home/x/bench/env/bin/gunicorn -b 127.0.0.1:8000 -w 5 -t 120 frappe.app:application --preload": WEB,
	"/home/x/bench/env/bin/python -m gunicorn -c conf.py frappe.app:application": WEB,
	"/usr/bin/uwsgi --module frappe.app:application": WEB,
	"bench serve --port 8000": WEB,
	"gunicorn: master [frappe.app:application]": WEB,
	"/usr/local/bin/bench worker --queue short,default": WORKER,
	"bench --site one.example.com worker": WORKER,
	"bench worker-pool --num-workers 4": WORKER,
	"/home/x/bench/env/bin/python -m frappe.utils.bench_helper frappe worker --queue long": WORKER,
	"env/bin/python ../apps/frappe/frappe/utils/bench_helper.py frappe --verbose worker": WORKER,
	"bash -c 'cd /home/x/bench && exec bench worker --queue default'": WORKER,
	"env FORCE_COLOR=1 bench worker --queue redis": WORKER,
	"bench schedule": SCHEDULER,
	"/usr/bin/node /home/x/bench/apps/frappe/socketio.js": SOCKETIO,
	"/usr/bin/node /home/x/bench/apps/frappe/realtime/index.js": SOCKETIO,
	"bench socketio": SOCKETIO,
	"/home/x/bench/env/bin/python -m frappe.realtime.server": SOCKETIO,
	# pilot's panel, beside each of its benches
	"/home/x/pilot/env/bin/gunicorn -c /home/x/bench/config/admin-gunicorn.conf.py admin.backend.wsgi:application": None,
	"gunicorn: master [admin.backend.wsgi:application]": None,
	"bench --site schedule worker": WORKER,
	"/opt/bin/worker --queue short": None,
	"/opt/bin/bench-worker": None,
	"bench backup-worker": None,
	"bench execute worker.schedule": None,
	"python my-gunicorn-exporter.py": None,
	"bench worker 'unclosed": WORKER,
	"": None,
}
DATA_STORES = {
	"redis-server /home/x/bench/config/redis_queue.conf": True,
	"/usr/bin/valkey-server 127.0.0.1:11000": True,
	"/usr/sbin/mariadbd --basedir=/usr": True,
	"/usr/sbin/mysqld": True,
	"/home/x/start-redis.sh": True,
	"bash -c 'exec redis-server redis.conf'": True,
	"python consumer.py --redis-url redis://127.0.0.1:11000": False,
	"node server.js": False,
}


class TestCommandLine(unittest.TestCase):
	def test_the_kind_of_a_program_is_told_by_the_words_of_its_command(self):
		for command, kind in KINDS.items():
			with self.subTest(command):
				self.assertEqual(kind_of(split_words(command)), kind)

	def test_redis_and_databases_are_known_by_what_they_run(self):
		for command, expected in DATA_STORES.items():
			with self.subTest(command):
				self.assertIs(is_data_store(split_words(command)), expected)

	def test_a_line_that_does_not_call_bench_has_no_bench_command(self):
		self.assertIsNone(bench_command(split_words("python worker.py")))
