"""What the benchmarks ask web for: a request that takes long, and one with a body. For development only."""

import hashlib
import time

import frappe

LONGEST = 60.0  # seconds


@frappe.whitelist(allow_guest=True)
def wait(seconds: str = "0") -> str:
	"""An answer after so many seconds."""
	time.sleep(min(float(seconds), LONGEST))
	return "waited"


@frappe.whitelist(allow_guest=True)
def receive() -> str:
	"""SHA-256 of the body, so that whoever sent it knows that all of it has arrived."""
	return hashlib.sha256(frappe.request.get_data()).hexdigest()
