"""Who may ask for what. A button that Desk hides is no gate; these are."""

from collections.abc import Callable
from functools import wraps

import frappe
from frappe import _

from fmx_restart.engine.errors import OperationError
from fmx_restart.install import OPERATOR

MANAGER = "System Manager"


def for_operators(function: Callable) -> Callable:
	"""Only for System Managers and Restart Operators; what the engine refuses becomes an answer that people can read."""

	@wraps(function)
	def guarded(*args, **kwargs):
		only_for(MANAGER, OPERATOR)
		try:
			return function(*args, **kwargs)
		except OperationError as error:
			refuse(f"{error} {error.hint}".strip())

	return guarded


def only_for(*roles: str) -> None:
	"""frappe.only_for lets everybody pass while tests run, and this is what tests must see."""
	if frappe.session.user != "Administrator" and set(roles).isdisjoint(frappe.get_roles()):
		names = ", ".join(_(role) for role in roles)
		frappe.throw(_("This is only for: {0}").format(names), frappe.PermissionError)


def refuse(text: str) -> None:
	frappe.throw(text, title=_("Not possible now"))
