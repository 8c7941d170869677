"""What `bench safe-restart managers` shows, of a real supervisord, and of one that does not answer."""

from __future__ import annotations

import json

from fmx_restart.tests.commands.managed_bench import BROKEN, WEB, WORKER, ManagedBench

SECRET = "hunter2"


class TestManagers(ManagedBench):
	def test_it_shows_each_with_its_programs_and_what_it_lacks_or_why_it_does_not_answer(self):
		self.start_manager()
		text = self.output("managers")
		url = f"unix://{self.bench}/supervisor.sock"
		self.assertTrue(text.startswith("This bench has 1 process manager.\n"), text)
		self.assertIn(
			f"this machine: supervisor at {url} (named by the setting fmx_restart_supervisor_url)", text
		)
		self.assertRegex(text, rf"(?m)^  {WORKER} +worker +running +\d+$")
		self.assertIn(f"  Not running: {BROKEN}.", text)
		# Given one more that does not answer
		away = {
			"kind": "supervisor",
			"url": "http://127.0.0.1:1",
			"name": "app2",
			"user": "bench",
			"password": SECRET,
		}
		near = {"kind": "supervisor", "url": url, "name": "near"}
		self.configure(fmx_restart_managers=[near, away])
		text = self.output("managers")
		self.assertTrue(
			text.startswith("This bench has 2 process managers; 1 of them does not answer.\n"), text
		)
		self.assertRegex(text, rf"(?m)^  near/{WORKER} +worker +running +\d+$")
		self.assertIn(
			"app2: supervisor at http://127.0.0.1:1, as user bench (named by fmx_restart_managers, entry 2)\n",
			text,
		)
		self.assertIn(
			"  It does not answer: supervisord is not running: http://127.0.0.1:1 refuses connections", text
		)
		told = json.loads(self.output("managers", "--json"))
		self.assertEqual((told["schema"], told["sentence"]), (1, text.splitlines()[0]))
		first, second = told["managers"]
		names = [program["name"] for program in first["programs"]]
		self.assertEqual(names, [f"near/{name}" for name in (WEB, BROKEN, WORKER)])
		self.assertEqual((second["name"], second["programs"], first["fault"]), ("app2", [], ""))
		self.assertNotIn(SECRET, f"{text} {told}")
		# and other commands go on with the one that answers, or say which does not
		status = self.output("status")
		self.assertIn(f"near/{WORKER}", status)
		self.assertIn("A process manager does not answer, and its programs are not shown: app2: ", status)
		logs = self.output("logs", WORKER.partition(":")[2])
		self.assertIn(f"/worker.log (near/{WORKER})\n", logs)
		self.assertIn("\nA process manager does not answer, and its logs are not shown: app2: ", logs)
		self.assertEqual(self.output("logs", f"near/{WORKER}"), logs)
		done = self.command("logs", "app2")
		self.assertEqual(
			(done.exit_code, "its logs are not shown: app2: " in done.output), (7, True), done.output
		)

	def test_a_setting_that_cannot_be_used_is_refused(self):
		entry = {"kind": "kubernetes", "namespace": "erp"}
		self.configure(fmx_restart_managers=[entry])
		for words in (["managers"], ["plan", "--wait-workers"], ["logs"]):
			done = self.command(*words)
			self.assertEqual(done.exit_code, 7, done.output)
			self.assertIn(
				"entry 1 has no selector: labels of the Deployments",
				done.output,
			)
