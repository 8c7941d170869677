"""What is read out of Kubernetes' objects, as a real API server (1.20) has told them, shortened: states, reasons, gaps, whose they are."""

from __future__ import annotations

import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from fmx_restart.adapters.managers.kubernetes.api import (
	PIP,
	message_in,
	refuse_without_client,
	refused,
)
from fmx_restart.adapters.managers.kubernetes.permission import rules
from fmx_restart.adapters.managers.kubernetes.pods import Pod, state_of, why_down
from fmx_restart.adapters.managers.kubernetes.programs import (
	Places,
	Program,
	assigned,
	detail_of,
	state_of_program,
)
from fmx_restart.adapters.managers.kubernetes.proof import Ours, only_sites, own_pod, sites_here, sites_of
from fmx_restart.adapters.managers.kubernetes.workloads import KEPT, Workload, labels_of_all
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.ports import ProcessKind, ProcessState

BENCH = "/home/frappe/frappe-bench"
SITES = {"name": "sites-dir", "mountPath": f"{BENCH}/sites"}
CLAIM = {"name": "sites-dir", "persistentVolumeClaim": {"claimName": "erp"}}
RUNNING = {"running": {"startedAt": "2026-11-27T03:00:00Z"}}
CRASHED = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-27T02:59:58Z"}}
ENDED = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-11-27T02:59:58Z"}}


def waiting(reason: str, message: str = "") -> dict:
	return {"waiting": {"reason": reason, "message": message}}


def pod(uid: str = "u1", state: dict | None = None, *, last: dict | None = None, **about: object) -> Pod:
	"""`about`: of its metadata; restarts, phase, conditions, spec."""
	status = {"name": "long", "state": state or RUNNING, "lastState": last or {}, "ready": state is None}
	status["restartCount"] = about.pop("restarts", 0)
	told = {
		"metadata": {"uid": uid, "name": f"erp-{uid}", "creationTimestamp": "2026-11-27T02:00:00Z"},
		"spec": about.pop("spec", {}),
		"status": {
			"phase": about.pop("phase", "Running"),
			"startTime": "2026-11-27T02:00:01Z",
			"conditions": about.pop("conditions", []),
			"containerStatuses": [status],
		},
	}
	told["metadata"].update(about)
	return Pod(told, "long")


def workload(args: list[str] | None = None, kind: str = "Deployment", **about: object) -> Workload:
	"""`about`: of its spec; container, volumes, status, annotations, name."""
	container = {
		"name": "long",
		"args": args or ["bench", "worker", "--queue", "long"],
		"volumeMounts": [SITES],
	}
	container.update(about.pop("container", {}))
	spec = {"containers": [container], "volumes": about.pop("volumes", [CLAIM])}
	meta = {
		"name": about.pop("name", "erp-worker-l"),
		"annotations": about.pop("annotations", {}),
		"generation": 2,
	}
	status = about.pop("status", {})
	return Workload(
		kind,
		{
			"metadata": meta,
			"status": status,
			"spec": {"template": {"spec": {**spec}}, "replicas": 1, **about},
		},
	)


class TestPods(unittest.TestCase):
	def test_a_state_and_its_reason_in_kubernetes_own_words(self):
		ending = {"deletionTimestamp": "2026-11-27T03:00:00Z"}
		condition = {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes are available"}
		killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
		for given, state, told in (
			(pod(), "running", ""),
			(pod(**ending), "stopping", ""),
			(pod(state=waiting("ContainerCreating")), "starting", ""),
			(pod(state=CRASHED), "starting", "it ended with exit code 1"),  # it is started again at once
			(
				pod(state=waiting("CrashLoopBackOff", "back-off 10s"), last=CRASHED, restarts=1),
				"failed",
				"it ended with exit code 1 (CrashLoopBackOff)",
			),
			(
				pod(state=waiting("CrashLoopBackOff"), last=ENDED, restarts=1),
				"exited",
				"it ended with exit code 0",
			),
			(
				pod(state=waiting("CrashLoopBackOff"), last=killed, restarts=1),
				"failed",
				"the kernel killed it, as memory ran out (OOMKilled)",
			),
			(pod(state=waiting("ErrImagePull", "denied")), "retrying", "ErrImagePull: denied"),
			(pod(state=waiting("ImagePullBackOff", "denied")), "failed", "ImagePullBackOff: denied"),
			(
				pod(state=waiting("CreateContainerConfigError", "no secret")),
				"failed",
				"CreateContainerConfigError",
			),
			(
				pod(state={"x": 1}, conditions=[condition]),
				"starting",
				"Unschedulable: 0/1 nodes are available",
			),
		):
			with self.subTest(told=told, state=state):
				self.assertEqual(state_of(given).value, state)
				self.assertIn(told, why_down(given))

	def test_a_pod_that_was_told_to_end_is_over_once_its_container_has_ended(self):
		ending = {"deletionTimestamp": "2026-11-27T03:00:00Z"}
		for given, is_over in (
			(pod(**ending), False),
			(pod(state=ENDED, **ending), True),
			(pod(state=waiting("CrashLoopBackOff"), last=CRASHED, **ending), False),
			(pod(state=ENDED), False),  # its container is started again
			(pod(phase="Failed"), True),
		):
			self.assertIs(given.is_over, is_over)

	def test_so_it_is_where_its_node_has_tidied_up_before_it_told_of_the_end(self):
		bare = {"state": waiting("ContainerCreating"), "deletionTimestamp": "2026-11-27T03:00:00Z"}
		for about, has_run, is_over in (
			(bare, True, True),
			(bare, False, False),  # its container may just be made
			({**bare, "state": waiting("CrashLoopBackOff")}, True, False),
			({"state": waiting("ContainerCreating")}, True, False),
			({**bare, "state": RUNNING}, True, False),
		):
			given = pod(**about)
			self.assertIs(Pod(given.told, given.container, has_run).is_over, is_over)

	def test_what_a_container_has_written_itself_is_no_reason_as_it_may_be_about_jobs(self):
		about = {"exitCode": 1, "message": "execute_job(kwargs={'password': 's3cret'})"}
		for reason, is_told in (("Error", False), ("Completed", False), ("ContainerCannotRun", True)):
			told = why_down(pod(state={"terminated": {**about, "reason": reason}}))
			self.assertEqual(told.startswith("it ended with exit code 1"), True)
			self.assertEqual("s3cret" in told, is_told, reason)

	def test_a_worker_is_its_pods_since_what_ran_there_before_has_ended(self):
		began = pod(state=waiting("ContainerCreating")).alone_since
		self.assertEqual(pod().alone_since, began)
		for later in (pod(restarts=1, last=CRASHED), pod(state=CRASHED)):
			self.assertEqual(later.alone_since - began, 3597)
		self.assertEqual(pod().host, "erp-u1")
		self.assertEqual(pod(name=f"{'a' * 62}-{'b' * 10}").host, "a" * 62)
		self.assertEqual(pod(spec={"hostNetwork": True, "nodeName": "node-1"}).host, "node-1")
		self.assertNotEqual(pod().incarnation, pod(restarts=1).incarnation)


class TestWorkloads(unittest.TestCase):
	def test_what_it_runs_by_its_words_and_by_the_charts_name_where_it_has_none(self):
		for container, kind in (
			({"args": ["bench", "worker", "--queue", "long"]}, ProcessKind.WORKER),
			({"args": ["bench", "schedule"]}, ProcessKind.SCHEDULER),
			({"args": ["node", f"{BENCH}/apps/frappe/socketio.js"]}, ProcessKind.SOCKETIO),
			({"command": ["bash", "-c"], "args": ["exec gunicorn frappe.app:application"]}, ProcessKind.WEB),
			({"args": [], "name": "gunicorn"}, ProcessKind.WEB),
			({"args": [], "name": "long"}, None),
			({"args": ["nginx-entrypoint.sh"], "name": "nginx"}, None),
		):
			with self.subTest(container):
				self.assertIs(workload(container=container).program, kind)

	def test_which_rollouts_cost_requests(self):
		safe = {"readinessProbe": {}, "lifecycle": {"preStop": {}}}
		safe["readinessProbe"] = {"tcpSocket": {"port": 8000}}
		safe["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", "5"]}}}

		def gap(replicas: int = 1, container: dict = safe, **about: object) -> str:
			return workload(container=container, replicas=replicas, **about).gap

		def rolling(share: object) -> dict:
			return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": share}}

		self.assertEqual(gap(), "")  # Kubernetes' own 25% of one pod is none
		self.assertEqual(gap(4, strategy=rolling("50%")), "")
		self.assertIn("maxUnavailable 1)", gap(strategy=rolling(1)))
		self.assertIn("maxUnavailable 100%)", gap(3, strategy=rolling("100%")))
		self.assertIn("strategy Recreate", gap(3, strategy={"type": "Recreate"}))
		self.assertIn("a StatefulSet replaces", gap(kind="StatefulSet"))
		self.assertEqual(gap(2, kind="StatefulSet"), "")
		self.assertIn("no readinessProbe", gap(container={**safe, "readinessProbe": None}))
		self.assertIn("no preStop", gap(container={**safe, "lifecycle": {}}))

	def test_what_keeps_a_changed_template_from_pods(self):
		self.assertEqual(workload().cannot_roll_out, "")
		self.assertIn("paused", workload(paused=True).cannot_roll_out)
		self.assertIn("OnDelete", workload(updateStrategy={"type": "OnDelete"}).cannot_roll_out)

	def test_the_number_of_pods_that_was_kept_counts_while_there_are_none(self):
		self.assertEqual(workload(replicas=0, annotations={KEPT: "3"}).wanted, 3)
		self.assertEqual(workload(replicas=2, annotations={KEPT: "3"}).wanted, 2)
		for odd in ("", "-1", "many", "9" * 40):
			self.assertEqual(workload(replicas=0, annotations={KEPT: odd}).wanted, 0)

	def test_a_pod_is_its_own_by_its_controller_and_not_by_its_labels(self):
		def of(name: str, kind: str = "ReplicaSet", *, controls: bool = True) -> dict:
			owner = {"kind": kind, "name": name, "controller": controls, "uid": "x"}
			return {"metadata": {"labels": {"pod-template-hash": "abc"}, "ownerReferences": [owner]}}

		own = workload()
		self.assertTrue(own.owns(of("erp-worker-l-abc")))
		for other in (
			of("erp-worker-abc"),
			of("erp-worker-l-abc", "Job"),
			of("erp-worker-l-abc", controls=False),
			{},
		):
			self.assertFalse(own.owns(other))

	def test_only_labels_that_all_pods_have_are_asked_for(self):
		one, other = (
			workload(selector={"matchLabels": {"instance": "erp", "name": name}})
			for name in ("worker", "web")
		)
		self.assertEqual(labels_of_all([one, other]), "instance=erp")
		self.assertEqual(labels_of_all([one, workload()]), "")


class TestPrograms(unittest.TestCase):
	def test_a_pod_that_ends_keeps_its_place_until_its_successor_takes_it(self):
		ending = {"deletionTimestamp": "2026-11-27T03:00:00Z"}
		one, two, three = (pod(uid) for uid in ("u1", "u2", "u3"))
		places = assigned([], [two, one], 2)
		self.assertEqual(places, ["u1", "u2"])
		places = assigned(places, [pod("u1", **ending), two, three], 2)
		self.assertEqual(places, ["u1", "u2"])
		self.assertEqual(assigned(places, [two, three], 2), ["u3", "u2"])
		self.assertEqual(assigned(places, [two], 2), ["", "u2"])
		self.assertEqual(assigned([], [], 0), [""])
		# one that an autoscaler adds gets a place of its own, one that was ending before gets none
		self.assertEqual(assigned(["u1"], [one, two], 1), ["u1", "u2"])
		self.assertEqual(assigned([], [pod("u1", **ending), two], 1), ["u2"])
		# one that is ending and runs nothing makes way for its successor, and only for that
		left = pod("u1", waiting("CrashLoopBackOff"), last=ENDED, restarts=1, **ending)
		self.assertEqual(assigned(["u1"], [left], 1), ["u1"])
		self.assertEqual(assigned(["u1"], [left, two], 1), ["u2"])
		self.assertEqual(assigned(["u2"], [left, two], 1), ["u2"])
		self.assertEqual(assigned(["u1", "u2"], [left, two, three], 2), ["u3", "u2"])

	def test_a_place_whose_pod_is_gone_while_others_have_as_many_as_there_are_to_be_gets_none(self):
		places, two = Places(), workload(replicas=2)

		def states(*pods: Pod) -> list[str]:
			programs = places.programs({two.reference: (two, list(pods))}).values()
			return [state_of_program(program, ()).value for program in programs]

		# as in the middle of somebody's rollout, with one pod more
		self.assertEqual(states(pod("u1"), pod("u2"), pod("u3")), ["running"] * 3)
		self.assertEqual(states(pod("u2"), pod("u3")), ["stopped", "running", "running"])
		self.assertEqual(states(pod("u3")), ["starting", "stopped", "running"])
		self.assertEqual(states(pod("u3"), pod("u4")), ["running", "stopped", "running"])

	def test_web_is_one_program_and_each_other_pod_is_one(self):
		web = workload(["gunicorn", "frappe.app:application"], name="erp-web", replicas=2)
		seen = {it.reference: (it, [pod("u1"), pod("u2")]) for it in (web, workload(replicas=2))}
		self.assertEqual(sorted(Places().programs(seen)), ["erp-web", "erp-worker-l", "erp-worker-l:2"])

	def test_a_rollout_is_done_when_all_pods_are_new_and_available(self):
		args = ["gunicorn", "frappe.app:application"]
		done = {"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
		stalled = {
			"type": "Progressing",
			"status": "False",
			"reason": "ProgressDeadlineExceeded",
			"message": "late",
		}
		old, new = pod("u1"), pod("u2")
		crashing = pod("u2", waiting("CrashLoopBackOff"), last=CRASHED, restarts=1)

		def state(status: dict, *pods: Pod) -> ProcessState:
			return state_of_program(Program("web", workload(args, replicas=2, status=status), pods), {"u1"})

		self.assertIs(state(done, new, pod("u3")), ProcessState.RUNNING)
		self.assertIs(state(done, old, new), ProcessState.STOPPING)
		self.assertIs(state({**done, "observedGeneration": 1}, new), ProcessState.STOPPING)
		self.assertIs(state({**done, "availableReplicas": 1}, new), ProcessState.STOPPING)
		self.assertIs(state({**done, "updatedReplicas": 1}, new), ProcessState.STOPPING)
		self.assertIs(state(done, old, crashing), ProcessState.FAILED)
		self.assertIs(state({**done, "conditions": [stalled]}, old, new), ProcessState.FAILED)
		before = {**done, "conditions": [stalled], "observedGeneration": 1}  # that was said of an earlier one
		self.assertIs(state(before, old), ProcessState.STOPPING)
		program = Program("web", workload(args, replicas=2, status=done), (old, crashing))
		told = detail_of(program, {"u1"}, ProcessState.FAILED)
		self.assertEqual(
			told,
			"it ended with exit code 1 (CrashLoopBackOff); 0 of 2 new pods are ready, 1 old ones are left",
		)


class TestProof(unittest.TestCase):
	def sites(self, *, mounts: list, volumes: list | None = None, **container: object) -> list[str]:
		return sites_of(
			{"volumes": volumes or [CLAIM]}, {"volumeMounts": mounts, **container}, f"{BENCH}/sites"
		)

	def test_the_sites_are_known_by_the_volume_and_the_folder_in_it(self):
		bench = {"name": "sites-dir", "mountPath": BENCH, "subPath": "one"}
		home = {"name": "sites-dir", "mountPath": "/home/frappe"}
		self.assertEqual(self.sites(mounts=[SITES]), ["claim:erp"])
		self.assertEqual(self.sites(mounts=[{**SITES, "subPath": "a/sites"}]), ["claim:erp/a/sites"])
		self.assertEqual(
			self.sites(mounts=[bench], args=[f"{BENCH}/env/bin/gunicorn"]), ["claim:erp/one/sites"]
		)
		other = self.sites(mounts=[home], args=["/home/frappe/other/env/bin/gunicorn"])
		self.assertEqual(other, ["claim:erp/other/sites"])  # not by where our own sites are
		self.assertEqual(self.sites(mounts=[home]), ["claim:erp/frappe-bench/sites"])
		self.assertEqual(self.sites(mounts=[]), [])
		self.assertEqual(self.sites(mounts=[SITES], volumes=[{"name": "sites-dir", "emptyDir": {}}]), [])
		self.assertEqual(self.sites(mounts=[{**SITES, "subPathExpr": "$(X)"}]), [])

	def test_a_neighbour_with_the_same_labels_commands_and_paths_is_not_ours(self):
		ours = Ours("claim:erp", "", f"{BENCH}/sites")
		theirs = {"name": "sites-dir", "persistentVolumeClaim": {"claimName": "erp2"}}
		self.assertTrue(ours.owns(workload()))
		self.assertFalse(ours.owns(workload(volumes=[theirs])))
		self.assertFalse(ours.owns(workload(volumes=[])))
		self.assertFalse(Ours("", "", f"{BENCH}/sites").owns(workload(volumes=[])))
		self.assertFalse(Ours("claim:erp/a", "", "").owns(workload()))
		with self.assertRaises(ProcessFault) as caught:
			only_sites([workload(name="a"), workload(name="b", volumes=[theirs])], "x=y", f"{BENCH}/sites")
		self.assertIn("several benches: a has its sites in claim:erp, b in claim:erp2", str(caught.exception))
		self.assertIn("`claim`", caught.exception.hint)
		self.assertEqual(
			only_sites([workload(), workload(["redis-server"], volumes=[theirs])], "", ""), "claim:erp"
		)

	def test_two_benches_in_one_claim_are_never_taken_for_one(self):
		one, two = (
			workload(name=name, container={"volumeMounts": [{**SITES, "subPath": f"{name}/sites"}]})
			for name in ("one", "two")
		)
		sites = only_sites([one, workload(name="x", volumes=[])], "x=y", f"{BENCH}/sites", "erp")
		ours = Ours(sites, "", f"{BENCH}/sites")
		self.assertEqual([ours.owns(it) for it in (one, two, workload())], [True, False, False])
		with self.assertRaises(ProcessFault) as caught:
			only_sites([one, two], "x=y", f"{BENCH}/sites", "erp")
		self.assertIn("one has its sites in claim:erp/one/sites, two in", str(caught.exception))
		self.assertNotIn("`claim`", caught.exception.hint)
		self.assertEqual(only_sites([one], "x=y", f"{BENCH}/sites", "other"), "")

	def test_in_a_pod_of_the_bench_its_own_pod_tells(self):
		uid = "0b1f8a5e-1c1d-4c39-9d2c-0a0b0c0d0e0f"
		line = f"99 98 8:1 /var/lib/kubelet/pods/{uid}/etc-hosts /etc/hosts rw - ext4 /dev/sda rw\n"
		with tempfile.NamedTemporaryFile("w") as file:
			file.write("1 0 8:1 / / rw - ext4 /dev/sda rw\n" + line)
			file.flush()
			self.assertEqual(own_pod(Path(file.name)), uid)
		self.assertEqual(own_pod(), "")  # tests run in none
		container = {"volumeMounts": [{**SITES, "subPath": "one"}]}
		pods = [{"metadata": {"uid": uid}, "spec": {"containers": [container], "volumes": [CLAIM]}}]
		self.assertEqual(sites_here(pods, uid, f"{BENCH}/sites"), "claim:erp/one")
		self.assertEqual(sites_here(pods, "another", f"{BENCH}/sites"), "")


class TestRefusals(unittest.TestCase):
	def test_a_refusal_names_the_account_and_the_role_has_only_what_is_needed(self):
		why = 'deployments.apps is forbidden: User "system:serviceaccount:erp:default" cannot list resource'
		fault = refused("GET", "/apis", 403, json.dumps({"kind": "Status", "message": why}))
		self.assertEqual(fault.user, "system:serviceaccount:erp:default")
		told = rules(fault.user, "erp")
		self.assertIn("- {kind: ServiceAccount, name: default, namespace: erp}", told)
		self.assertNotIn("secrets", told)
		self.assertNotIn("*", told)
		self.assertIn('- {kind: User, name: "anna", apiGroup: rbac', rules("anna", "erp"))

	def test_what_no_api_server_has_written_is_shown_in_one_short_line(self):
		self.assertEqual(message_in(b"<html>\n<body>no</body>"), "<html> <body>no</body>")
		self.assertLess(len(message_in("x" * 9000)), 500)

	def test_without_the_client_library_the_line_to_type_is_told(self):
		hidden = mock.patch.dict(sys.modules, {"kubernetes": None, "kubernetes.client": None})
		with hidden, self.assertRaises(WrongEnvironment) as caught:
			refuse_without_client()
		self.assertEqual(caught.exception.exit_code, 7)
		self.assertIn(PIP, caught.exception.hint)


if __name__ == "__main__":
	unittest.main()
