"""Whether the account that we have may stop and start pods: asked before anything is touched; else the Role to apply."""

from __future__ import annotations

from collections.abc import Iterable

from fmx_restart.adapters.managers.kubernetes.api import Api, Forbidden
from fmx_restart.adapters.managers.kubernetes.workloads import PLURALS
from fmx_restart.engine.errors import ProcessFault

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SERVICE_ACCOUNT = "system:serviceaccount:"
ROLE = "safe-restart"
UNKNOWN_USER = "USER"


class Permission:
	"""Of one namespace. What was allowed once is not asked again."""

	def __init__(self, api: Api, namespace: str) -> None:
		self._api, self._namespace = api, namespace
		self._allowed: set[tuple[str, str, str]] = set()

	def check(self, kinds: Iterable[str]) -> None:
		"""`kinds`: of what is to be restarted. Raises ProcessFault with the Role to apply. Any account may ask this."""
		wanted = [("apps", PLURALS[kind], "patch") for kind in sorted(set(kinds))]
		wanted += [("", "pods", "delete")]
		missing = [one for one in wanted if one not in self._allowed and not self._is_allowed(*one)]
		self._allowed |= set(wanted) - set(missing)
		if missing:
			what = " and ".join(f"{verb} {resource}" for _, resource, verb in missing)
			raise self.refused(f"may not {what}")

	def refused(self, what: str, user: str = "") -> ProcessFault:
		"""With what its administrator applies. `user`: as the API server calls the account, where it did."""
		user = user or self._api.account or UNKNOWN_USER
		return ProcessFault(
			f"the account {user} {what} in the namespace {self._namespace} of Kubernetes",
			hint="Let an administrator of the cluster save this as safe-restart.yaml and type kubectl apply -f safe-restart.yaml:"
			f"\n{rules(user, self._namespace)}",
		)

	def explained(self, fault: Forbidden) -> ProcessFault:
		"""The same, where an answer was no."""
		return self.refused(f"may not do what a restart needs ({str(fault).rstrip('.')})", fault.user)

	def _is_allowed(self, group: str, resource: str, verb: str) -> bool:
		about = {"namespace": self._namespace, "group": group, "resource": resource, "verb": verb}
		body = {
			"apiVersion": "authorization.k8s.io/v1",
			"kind": "SelfSubjectAccessReview",
			"spec": {"resourceAttributes": about},
		}
		return bool((self._api.create(REVIEWS, body).get("status") or {}).get("allowed"))


def rules(user: str, namespace: str) -> str:
	"""A Role with what a restart needs and nothing else, and who has it; as YAML."""
	kinds = ", ".join(PLURALS.values())
	return "\n".join(
		[
			"apiVersion: rbac.authorization.k8s.io/v1",
			"kind: Role",
			f"metadata: {{name: {ROLE}, namespace: {namespace}}}",
			"rules:",
			f"- {{apiGroups: [apps], resources: [{kinds}], verbs: [get, list, patch]}}",
			'- {apiGroups: [""], resources: [pods], verbs: [get, list, delete]}',
			'- {apiGroups: [""], resources: [pods/log], verbs: [get]}',
			"---",
			"apiVersion: rbac.authorization.k8s.io/v1",
			"kind: RoleBinding",
			f"metadata: {{name: {ROLE}, namespace: {namespace}}}",
			f"roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {ROLE}}}",
			"subjects:",
			f"- {subject(user)}",
		]
	)


def subject(user: str) -> str:
	"""Who gets the Role."""
	if user.startswith(SERVICE_ACCOUNT) and user.count(":") == 3:
		_, _, namespace, name = user.split(":")
		return f"{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}"
	return f'{{kind: User, name: "{user}", apiGroup: rbac.authorization.k8s.io}}'
