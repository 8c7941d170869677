"""What the API answers when it does not do what it was asked for: an HTTP status, and `error` with code, message and remedy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches

import frappe
from frappe import _

from fmx_restart.engine.errors import OperationError

#: Arguments that Frappe takes from a request for itself: the function's name, the session, the language, jQuery's cache buster
OF_FRAPPE = {"cmd", "csrf_token", "sid", "_lang", "_"}
#: The code of an error that was raised for the client by Frappe or by a document's own rules, by its kind; the first that fits
CODES: tuple[tuple[type[Exception], str], ...] = (
	(frappe.PermissionError, "NotPermitted"),
	(frappe.DoesNotExistError, "NotFound"),
	(frappe.exceptions.FrappeTypeError, "InvalidArgument"),
	(frappe.TooManyRequestsError, "TooManyRequests"),
	(Exception, "NotPossible"),
)
INTERNAL = "InternalError"


@dataclass(frozen=True)
class Problem:
	"""`code` stays the same in every version and language; `message` and `remedy` are plain text for people."""

	code: str
	message: str
	remedy: str = ""


def refuse(
	message: str,
	*,
	code: str = "NotPossible",
	remedy: str = "",
	kind: type[Exception] = frappe.ValidationError,
	title: str = "",
) -> None:
	"""Raises `kind`, whose HTTP status the answer has. The texts are plain, and may hold anything: they are escaped here."""
	answer_with(Problem(code, message, remedy))
	text = frappe.utils.escape_html(f"{message} {remedy}".strip())
	frappe.throw(text, kind, title=title or _("Not possible now"))


def forbid(message: str) -> None:
	"""Raises PermissionError (HTTP 403)."""
	refuse(message, code="NotPermitted", kind=frappe.PermissionError, title=_("Not possible on this site"))


def refuse_failed(error: OperationError) -> None:
	"""What the engine refused, in its own words; the code is the name of the error. Raises ValidationError (HTTP 417)."""
	refuse(str(error), code=type(error).__name__, remedy=error.hint)


def answer_with(problem: Problem) -> None:
	"""Put it into the answer, beside what Frappe's own clients read; no traceback is sent."""
	frappe.local.response["error"] = asdict(problem)
	frappe.local.flags.disable_traceback = True


def answer_with_error(error: Exception) -> None:
	"""For an error that goes on to Frappe, unless its problem is in the answer already."""
	if "error" in frappe.local.response:
		return
	if not is_answer(error):
		text = _("Unexpected error on the server.")
		answer_with(Problem(INTERNAL, text, _("See the Error Log of this site.")))
		return
	code = next(code for kind, code in CODES if isinstance(error, kind))
	answer_with(Problem(code, str(error)))


def is_answer(error: Exception) -> bool:
	"""
	One that was raised for the client. For any other Frappe writes an Error Log with the values of all variables, other
	sites' jobs among them, into this site's database.
	"""
	return getattr(error, "http_status_code", 500) < 500


def check_arguments(function: Callable, sent: Iterable[str]) -> None:
	"""
	Raises ValidationError for names that the function does not have, which Frappe would drop in silence, and for those that
	it needs and that were not sent.
	"""
	parameters, names = inspect.signature(function).parameters, set(sent)
	if unknown := sorted(names - OF_FRAPPE - parameters.keys()):
		refuse(
			_("There is no argument {0}.").format(", ".join(name[:40] for name in unknown[:5])),
			code="UnknownArgument",
			remedy=f"{advice(unknown[0], parameters)} {_('Nothing was done.')}",
		)
	needed = {name for name, it in parameters.items() if it.default is it.empty}
	if missing := sorted(needed - names):
		refuse(
			_("The argument {0} is missing.").format(", ".join(missing)),
			code="MissingArgument",
			remedy=_("Nothing was done."),
		)


def advice(name: str, known: Iterable[str]) -> str:
	"""The name that was meant; all names where none is like it."""
	near = get_close_matches(name, known, n=1)
	if near:
		return _("Did you mean {0}?").format(near[0])
	return _("Arguments: {0}.").format(", ".join(known) or _("none"))
