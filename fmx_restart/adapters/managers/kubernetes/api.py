"""One API server of Kubernetes, asked with Kubernetes' own client library, which is an extra of this app."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.frozen import frozen

if TYPE_CHECKING:
	from kubernetes.client import ApiClient

TIMEOUT = 5.0  # seconds; it answers in some milliseconds. The fence is renewed between two answers
#: Seconds that one gets which let us wait before: it must not delay what other managers run
HUNG = 2.0
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # of our own pod
SERVER = "KUBERNETES_SERVICE_HOST"  # in each pod
NOT_FOUND, CONFLICT, UNAUTHORIZED, FORBIDDEN = 404, 409, 401, 403
MERGE = "application/merge-patch+json"
LOGIN = re.compile(r"//[^/]*@")
#: As the API server calls an account: User "system:serviceaccount:erp:default" cannot list resource …
USER = re.compile(r'User "([^"]+)"')
LOOK = "See whether it answers: kubectl cluster-info."
PIP = "env/bin/python -m pip install 'kubernetes>=29,<36'"


def refuse_without_client() -> None:
	"""Raises WrongEnvironment where the client library is not installed."""
	try:
		import kubernetes.client  # noqa: F401
	except ImportError as error:
		raise WrongEnvironment(
			f"Kubernetes' client for Python cannot be imported ({error}). Nothing was changed.",
			hint=f"Type in the bench's folder: {PIP} (the extra fmx_restart[kubernetes]). In pods, build it into the image.",
		) from None


def is_in_pod() -> bool:
	"""We run in a pod that has a service account."""
	return bool(os.environ.get(SERVER)) and (ACCOUNT / "token").exists()


def own_namespace() -> str:
	"""Of our pod. Raises ProcessFault where its account has none."""
	try:
		return (ACCOUNT / "namespace").read_text().strip()
	except OSError as error:
		raise ProcessFault(f"the namespace of this pod is not known: {error.strerror}") from error


class Forbidden(ProcessFault):
	"""The account may not do that. `user`: as the API server calls it; empty where it does not say."""

	def __init__(self, message: str, user: str = "") -> None:
		super().__init__(message)
		self.user = user


class Unknown(ProcessFault):
	"""The server does not know the account, or not any more."""


@frozen
class Access:
	"""How an API server is reached. Without a file: the service account of our pod, else the usual kubeconfig."""

	kubeconfig: str = ""
	context: str = ""

	@property
	def is_pods(self) -> bool:
		"""By the service account of our own pod."""
		return not self.kubeconfig and not self.context and is_in_pod()

	@property
	def options(self) -> list[str]:
		"""Of kubectl, for the same server and account."""
		file = ["--kubeconfig", self.kubeconfig] if self.kubeconfig else []
		return [*file, *(["--context", self.context] if self.context else [])]


class Loading(Thread):
	"""
	Of a kubeconfig. It may name a program that logs in, over the network as a rule: the library waits for it without a limit, and
	an operation must not.
	"""

	def __init__(self, access: Access) -> None:
		super().__init__(name="kubeconfig", daemon=True)
		self._access = access
		self.configuration: Any = None
		self.fault: ProcessFault | None = None
		self.start()

	def run(self) -> None:
		try:
			self.configuration = configuration_of(self._access)
		except ProcessFault as fault:
			self.fault = fault


class Resource:
	"""Whatever the API server describes, by the parts that each description has."""

	told: Mapping[str, Any]

	@property
	def meta(self) -> Mapping[str, Any]:
		"""Name and uid, labels, annotations."""
		return self.told.get("metadata") or {}

	@property
	def name(self) -> str:
		"""Unlike that of all others of its kind in the namespace."""
		return str(self.meta.get("name", ""))

	@property
	def spec(self) -> Mapping[str, Any]:
		"""What it is to be."""
		return self.told.get("spec") or {}

	@property
	def status(self) -> Mapping[str, Any]:
		"""What it is."""
		return self.told.get("status") or {}


class Api:
	"""For one thread. Whatever it refuses is a ProcessFault. `timeout`: seconds for an answer."""

	def __init__(self, access: Access = Access(), *, timeout: float = TIMEOUT) -> None:  # noqa: B008
		self.access, self.timeout = access, timeout
		self._client: ApiClient | None = None
		self._has_hung = False
		self._loading: Loading | None = None

	def items(self, path: str, **query: object) -> list[Mapping[str, Any]]:
		"""Of a list, which is complete: the server pages only where it is asked to."""
		answer = self._ask("GET", path, query=query)
		return answer.get("items") or []

	def create(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
		"""Here only for questions that are asked so."""
		return self._ask("POST", path, body)

	def patch(self, path: str, body: Mapping[str, Any]) -> None:
		"""By RFC 7386: None takes a value away."""
		self._ask("PATCH", path, body, content=MERGE)

	def delete(self, path: str, body: Mapping[str, Any]) -> bool:
		"""What is gone, or is another one than the body's preconditions say, is fine. Whether it was deleted."""
		return self._ask("DELETE", path, body, fine=(NOT_FOUND, CONFLICT)) is not None

	def text(self, path: str, **query: object) -> str:
		"""As it is: the library would take a log for JSON where it looks like that. Empty for what is not there."""
		told = self._ask("GET", path, query=query, fine=(NOT_FOUND,), is_raw=True)
		return told.decode(errors="replace") if told else ""

	@property
	def account(self) -> str:
		"""Of the token that we have, as the API server calls it; empty where that cannot be seen from here."""
		with suppress(ProcessFault, ValueError, IndexError, KeyError, TypeError):
			token = self._connect().configuration.get_api_key_with_prefix("authorization")
			claims = token.split(".")[1]
			return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])
		return ""

	def close(self) -> None:
		"""Hang up. The next question connects again."""
		client, self._client = self._client, None
		if client:
			client.close()

	def _ask(
		self,
		method: str,
		path: str,
		body: Mapping[str, Any] | None = None,
		*,
		fine: tuple[int, ...] = (),
		**how: Any,
	) -> Any:
		"""`query`, `content` (the body's type) and `is_raw` say how. A login that has run out is renewed once."""
		had_login = self._client is not None
		try:
			return self._ask_once(method, path, body, fine=fine, **how)
		except Unknown:
			if not had_login or self.access.is_pods:
				raise
		self.close()
		return self._ask_once(method, path, body, fine=fine, **how)

	def _ask_once(
		self, method: str, path: str, body: Mapping[str, Any] | None, *, fine: tuple[int, ...], **how: Any
	) -> Any:
		is_raw, wait = how.get("is_raw", False), self._patience
		client = self._connect()
		with self._asking(method, path, fine):
			answer = client.call_api(
				path,
				method,
				query_params=list((how.get("query") or {}).items()),
				header_params={"Accept": "*/*", "Content-Type": how.get("content", "application/json")},
				body=body,
				response_type="object",
				auth_settings=["BearerToken"],
				_return_http_data_only=True,
				_preload_content=not is_raw,
				_request_timeout=(wait, wait),
			)
			return answer.data if is_raw else answer
		return None

	def _connect(self) -> ApiClient:
		from kubernetes.client import ApiClient

		if self._client is None:
			self._client = ApiClient(self._configuration())
		return self._client

	def _configuration(self) -> Any:
		"""Raises ProcessFault where nothing says how the server is reached, or a program that is to say it takes too long."""
		self._loading = self._loading or Loading(self.access)
		self._loading.join(self._patience)
		if self._loading.is_alive():
			self._has_hung = True
			raise ProcessFault(
				f"the program that {place_of(self.access)} names for a login does not answer",
				hint="Try the same account: kubectl cluster-info.",
			)
		loading, self._loading = self._loading, None
		if loading.fault:
			raise loading.fault
		return loading.configuration

	@property
	def _patience(self) -> float:
		return min(self.timeout, HUNG) if self._has_hung else self.timeout

	@contextmanager
	def _asking(self, method: str, path: str, fine: tuple[int, ...]) -> Iterator[None]:
		from kubernetes.client.exceptions import ApiException, OpenApiException
		from urllib3.exceptions import HTTPError

		try:
			yield
			self._has_hung = False
		except ApiException as error:
			self._has_hung = False
			if error.status not in fine:
				raise refused(method, path, error.status, error.body or error.reason) from error
		except (HTTPError, OpenApiException, OSError, ValueError) as error:
			raise self._unanswered(error) from error

	def _unanswered(self, error: Exception) -> ProcessFault:
		from urllib3.exceptions import TimeoutError as Late

		patience, server = (
			self._patience,
			without_login(self._client.configuration.host if self._client else ""),
		)
		self._has_hung = isinstance(error, Late) or isinstance(getattr(error, "reason", None), Late)
		self.close()
		if self._has_hung:
			return ProcessFault(
				f"Kubernetes' API at {server} did not answer within {patience:g} s", hint=LOOK
			)
		return ProcessFault(f"Kubernetes' API at {server} does not answer: {last_words(error)}", hint=LOOK)


def configuration_of(access: Access) -> Any:
	"""Raises ProcessFault where nothing usable says how the server is reached."""
	from kubernetes.client import Configuration
	from kubernetes.config import load_incluster_config, load_kube_config

	if not access.is_pods:
		refuse_others_files(access)
	configuration = Configuration()
	configuration.retries = 0  # each would wait as long again
	try:
		if access.is_pods:
			load_incluster_config(client_configuration=configuration)
		else:
			load_kube_config(
				access.kubeconfig or None,
				access.context or None,
				client_configuration=configuration,
				persist_config=False,
			)
			configuration.refresh_api_key_hook = (
				None  # it runs that program again, in the middle of a question
			)
	except Exception as error:  # the library finds out what is wrong by stumbling over it
		raise not_configured(access, error) from error
	return configuration


def refuse_others_files(access: Access) -> None:
	"""Raises ProcessFault for a kubeconfig that somebody else can write: it can name a program, which we would run."""
	for name in place_of(access).split(os.pathsep):
		with suppress(OSError):  # the library says so
			told = Path(name).expanduser().stat()
			is_ours = told.st_uid in (0, os.geteuid())
			is_shared = told.st_mode & stat.S_IWOTH or (
				told.st_mode & stat.S_IWGRP and told.st_gid not in (0, os.getegid())
			)
			if not stat.S_ISREG(told.st_mode) or not is_ours or is_shared:
				raise ProcessFault(
					f"Kubernetes' API is not asked, as {name} is no file that only this user or root can write",
					hint=f"It can name a program to run. Look at it, then type: chmod 0600 {shlex.quote(name)}.",
				)


def place_of(access: Access) -> str:
	"""One path, or several as KUBECONFIG has them."""
	return access.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"


def not_configured(access: Access, error: Exception) -> ProcessFault:
	"""There is no usable kubeconfig. A text of the library's that may quote it is not shown."""
	from kubernetes.config import ConfigException

	is_known = isinstance(error, ConfigException | OSError)
	why = str(error) if is_known else f"it is no kubeconfig ({type(error).__name__})"
	return ProcessFault(
		f"Kubernetes' API cannot be reached, as {place_of(access)} cannot be used: {why}",
		hint="Name a file as `kubeconfig` (and a `context`) in fmx_restart_managers, or type the command in a pod with a service"
		" account.",
	)


def refused(method: str, path: str, code: int | None, body: object) -> ProcessFault:
	"""An answer that says no, in the server's own words."""
	why = message_in(body)
	if code == FORBIDDEN:
		user = USER.search(why)
		return Forbidden(f"Kubernetes does not allow it: {why}", user[1] if user else "")
	if code == UNAUTHORIZED:
		return Unknown(
			f"Kubernetes does not know the account that asks ({why})",
			hint="Log in again: kubectl auth can-i --list.",
		)
	return ProcessFault(f"Kubernetes would not answer {method} {path}: {why} (HTTP {code})")


def message_in(body: object) -> str:
	"""Of a Status as the API server sends it; else the beginning of what it sent, in one line."""
	text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
	with suppress(ValueError, AttributeError):
		text = json.loads(text).get("message") or text
	return " ".join(text.split())[:400]


def without_login(url: object) -> str:
	"""A URL as it may be shown."""
	return LOGIN.sub("//", str(url))


def last_words(error: BaseException) -> str:
	"""Of the innermost error: the library wraps it several times."""
	inner = getattr(error, "reason", None) or error.__cause__
	if isinstance(inner, BaseException) and inner is not error:
		return last_words(inner)
	text = getattr(error, "strerror", None) or str(error).rpartition(": ")[2] or type(error).__name__
	return str(text)[:200]
