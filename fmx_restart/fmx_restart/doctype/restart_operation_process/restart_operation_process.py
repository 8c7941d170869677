# Copyright (c) 2026, fmx_restart contributors
# For license information, please see license.txt

from frappe.model.document import Document


class RestartOperationProcess(Document):
	pass
