"""An entry of fmx_restart_managers that names Deployments of Kubernetes: their namespace, their labels, and how its API is reached."""

from __future__ import annotations

import re

from fmx_restart.adapters.managers.entries import Entry, Odd, shown
from fmx_restart.adapters.managers.names import KUBERNETES
from fmx_restart.engine.frozen import frozen

KEYS = ("namespace", "selector", "claim", "kubeconfig", "context")
#: As Kubernetes itself allows them
NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
SELECTOR = re.compile(r"[A-Za-z0-9!][A-Za-z0-9 _./,=!()-]*")


@frozen
class KubernetesEntry:
	"""Empty where the entry does not say: a claim that is not known, the service account of our own pod."""

	name: str
	namespace: str
	selector: str
	source: str
	claim: str = ""
	kubeconfig: str = ""
	context: str = ""
	kind: str = KUBERNETES
	has_password: bool = False

	@property
	def place(self) -> str:
		"""One namespace may have several benches."""
		return f"{self.kubeconfig} {self.context} {self.namespace} {self.selector}"

	@property
	def password_file(self) -> str:
		"""Whoever can read it can do what it allows."""
		return self.kubeconfig


def read_kubernetes(entry: Entry) -> KubernetesEntry:
	"""Raises Odd. The API, and nobody else, knows whether a selector is one."""
	namespace, selector, claim = entry.get("namespace"), entry.get("selector"), entry.get("claim")
	kubeconfig, context = entry.get("kubeconfig"), entry.get("context")
	if not namespace:
		raise Odd("has no namespace: kubectl get namespaces lists them")
	if not NAMESPACE.fullmatch(namespace):
		raise Odd(f"has a namespace that is none of Kubernetes': {shown(namespace)}")
	if not selector:
		raise Odd(
			'has no selector: labels of the Deployments, such as "app.kubernetes.io/instance=frappe-bench"'
		)
	if not SELECTOR.fullmatch(selector):
		raise Odd(f"has a selector that is none of Kubernetes': {shown(selector)}")
	if claim and not CLAIM.fullmatch(claim):
		raise Odd(f"has a claim that is no name of a PersistentVolumeClaim: {shown(claim)}")
	if kubeconfig and not kubeconfig.startswith("/"):
		raise Odd("has a kubeconfig that does not begin with /")
	if context and (not context.isprintable() or context.startswith("-")):
		raise Odd("has a context that is no name of one: kubectl config get-contexts lists them")
	return KubernetesEntry(
		entry.name(namespace), namespace, selector, entry.source, claim, kubeconfig, context
	)
