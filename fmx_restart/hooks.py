app_name = "fmx_restart"
app_title = "FMX Restart"
app_publisher = "fmx_restart contributors"
app_description = "Restart a Frappe bench without losing a background job"
app_license = "mit"

after_install = "fmx_restart.install.after_install"
after_migrate = "fmx_restart.install.after_migrate"
after_uninstall = "fmx_restart.install.after_uninstall"

has_permission = {"Restart Operation": "fmx_restart.desk.access.has_permission"}
#: Its tables, too: Frappe lists the rows of a table to whoever has the role for the parent, without a look at any parent
permission_query_conditions = dict.fromkeys(
	[
		"Restart Operation",
		"Restart Operation Job",
		"Restart Operation Migration",
		"Restart Operation Phase",
		"Restart Operation Process",
		"Restart Operation Setting",
	],
	"fmx_restart.desk.access.query_conditions",
)

#: On every page of Desk: what the search field finds; and what says that web pauses, and lets reads wait meanwhile
#: (docs/web.md). The rest is loaded on our own pages
app_include_js = ["fmx_restart_desk.bundle.js"]

before_request = "fmx_restart.desk.before_request.prepare"
extend_bootinfo = "fmx_restart.desk.vocabulary.extend_boot"

default_log_clearing_doctypes = {"Restart Operation": 90}  # days

export_python_type_annotations = True
require_type_annotated_api_methods = True

scheduler_events = {
	"all": [
		"fmx_restart.recover.recover_unfinished",
		"fmx_restart.desk.samples.tick",
		"fmx_restart.desk.schedule.tick",
	],
	"daily": ["fmx_restart.desk.daily.run"],
}
