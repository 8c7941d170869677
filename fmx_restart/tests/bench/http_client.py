"""The bench's real web server, asked as a pipeline would: token, JSON, and patience while it is restarted."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fmx_restart.tests.bench.site_process import on_site

if TYPE_CHECKING:
	from development.description import Bench

TIMEOUT = 60.0  # seconds
#: What a client hears while the web server is restarted: nothing, or an error of the proxy in front of it
RESTARTING = {502, 503, 504}
#: Bench → name → token. Making them starts a Frappe, so it is done once.
TOKENS: dict[str, dict[str, str]] = {}


@dataclass(frozen=True)
class Answer:
	status: int
	text: str

	@property
	def message(self) -> Any:
		if self.status != 200:
			raise AssertionError(f"HTTP {self.status}: {self.text[-2000:]}")
		return json.loads(self.text)["message"]


class Client:
	"""`address`: where it says it comes from; starts are counted per address."""

	def __init__(
		self,
		bench: Bench,
		token: str = "",
		address: str = "10.0.0.1",
		port: int | None = None,
		site: str = "",
	) -> None:
		self.bench, self.port = bench, port or bench.ports.web
		self.headers = {"Host": site or bench.site, "Accept": "application/json", "X-Forwarded-For": address}
		if token:
			self.headers["Authorization"] = f"token {token}"

	def get(self, method: str, **arguments) -> Answer:
		return self.request("GET", f"/api/method/fmx_restart.api.{method}?{urlencode(arguments)}")

	def post(self, method: str, **arguments) -> Answer:
		return self.request("POST", f"/api/method/fmx_restart.api.{method}", arguments)

	def resource(self, verb: str, name: str = "", body: dict | None = None) -> Answer:
		path = f"/api/resource/{quote('Restart Operation')}"
		return self.request(verb, f"{path}/{name}" if name else path, body)

	def request(self, verb: str, path: str, body: dict | None = None) -> Answer:
		with closing(HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)) as connection:
			headers = (
				{**self.headers, "Content-Type": "application/json"} if body is not None else self.headers
			)
			connection.request(verb, path, json.dumps(body) if body is not None else None, headers)
			response = connection.getresponse()
			return Answer(response.status, response.read().decode())

	def patiently(self, method: str, **arguments) -> Any | None:
		"""As a client must ask while its own web server is restarted: None when there was no answer."""
		try:
			answer = self.get(method, **arguments)
		except (OSError, HTTPException):
			return None
		return None if answer.status in RESTARTING else answer.message

	def patiently_or_none(self, method: str, **arguments) -> Any | None:
		"""While the database comes back there are other errors than those of a restart."""
		try:
			answer = self.get(method, **arguments)
		except (OSError, HTTPException):
			return None
		return answer.message if answer.status == 200 else None


def clients(bench: Bench, address: str, site: str = "") -> dict[str, Client]:
	"""Everybody of on_site.PEOPLE, and a guest. `site`: another name of the same database, see second_site.py."""
	if bench.name not in TOKENS:
		TOKENS[bench.name] = on_site(bench, "people")
	tokens = TOKENS[bench.name]
	found = {name: Client(bench, token, address, site=site) for name, token in tokens.items()}
	return {"guest": Client(bench, address=address, site=site), **found}


def forget_clients(bench: Bench) -> None:
	"""For whoever changed users or roles: the next to ask for clients makes them anew, with the roles they need."""
	TOKENS.pop(bench.name, None)
