/** The end of a program's log, in a dialog. The server gives it on control sites, to System Managers. */
import { ask } from "./api";
import { accessible } from "./dialogs";

/** Lines of each log. */
const LINES = 200;

/** Whether the server would answer; a button that would be refused is not shown. */
export function may_see_logs() {
	return frappe.boot.fmx_restart?.access?.mode === "control" && frappe.user_roles.includes("System Manager");
}

/** @param wanted `program`, or `worker`: names as fmx_restart.api.log takes them */
export async function show_log(wanted) {
	let told;
	try {
		told = await ask("log", { ...wanted, lines: LINES });
	} catch (error) {
		told = { logs: [], trouble: error.message || __("The web server does not answer right now. Try again.") };
	}
	accessible(() => {
		const dialog = new frappe.ui.Dialog({
			title: __("Log of {0}", [escaped(told.program || wanted.program || wanted.worker)]),
			size: "large",
			fields: [{ fieldtype: "HTML", fieldname: "body", options: `<div class="restart-logs">${text_of(told)}</div>` }],
		});
		dialog.$wrapper.on("hidden.bs.modal", () => dialog.$wrapper.remove());
		dialog.show();
		return dialog;
	});
}

function text_of({ logs, trouble, note, command }) {
	const parts = logs.map(({ source, lines, fault }) => {
		const text = fault ? __("It cannot be read: {0}", [fault]) : lines.join("\n") || __("No line to show.");
		return `<p class="restart-fine">${escaped(source)}</p><pre class="restart-pre" tabindex="0">${escaped(text)}</pre>`;
	});
	const told = [trouble, note].filter(Boolean).map((text) => `<p>${escaped(text)}</p>`);
	const typed = command ? `<p class="restart-fine">${__("All of it, on the bench:")} <code>${escaped(command)}</code></p>` : "";
	return [...told, ...parts, typed].join("");
}

function escaped(text) {
	return frappe.utils.escape_html(text);
}
