/** What people can ask of an operation that is under way. */
import { act, Away } from "./api";
import { accessible } from "./dialogs";
import { parsed } from "./options";
import { open_start_dialog_with } from "./start";
import { AT_DEADLINE, span } from "./words";

/** @param poll looks again as soon as something was asked */
export function actions_for(poll) {
	const request = async (name, args) => {
		try {
			const { message } = await act(name, args);
			frappe.show_alert({ message: escaped(message), indicator: "blue" });
		} catch (error) {
			frappe.show_alert({ message: escaped(text_of(error)), indicator: "red" }, 10);
		}
		poll.now();
	};
	return {
		cancel: (state) => confirm_cancel(state, request),
		extend: (state) => ask_for_time(state, request),
		force: (state) => confirm_force(state, request),
		again: (choice) => open_start_dialog_with(choice),
		start_from_web: ({ doc }) =>
			request("start", { idempotency_key: doc.idempotency_key, strategy: doc.strategy, from_web: 1 }),
	};
}

function confirm_cancel({ doc, live }, request) {
	const text = what_a_cancel_does(doc, live);
	ask_first(__("Cancel the restart?"), `<p>${text}</p>`, __("Cancel Restart"), () => request("cancel", { operation: doc.name }));
}

function what_a_cancel_does(doc, live) {
	if ((doc.phases || []).some(({ phase }) => phase === "Restart")) {
		return __("What has been restarted stays restarted. Running jobs go on, and the other processes keep the old code.");
	}
	return live?.holds?.length
		? __("Nothing has been restarted yet. Running jobs go on, waiting jobs start when the hold of the queue ends.")
		: __("Nothing has been restarted yet. Running jobs go on, waiting jobs start again.");
}

/** Frappe's own question has other words on its buttons: "Cancel" would be its No. */
function ask_first(title, message, label, act_on_it) {
	accessible(() => {
		const dialog = frappe.warn(title, message, act_on_it, label);
		dialog.set_secondary_action_label(__("Keep Waiting"));
		return dialog;
	});
}

function ask_for_time({ doc }, request) {
	const minutes = {
		fieldname: "minutes",
		fieldtype: "Select",
		label: __("Additional Minutes"),
		options: ["1", "5", "15", "30", "60"],
		default: "5",
		reqd: 1,
		description: __("Running jobs get this much more time."),
	};
	const extend = (given) => request("extend", { operation: doc.name, seconds: given.minutes * 60 });
	accessible(() => frappe.prompt(minutes, extend, __("Extend Time"), __("Extend")));
}

/** Names the jobs that would be killed. */
function confirm_force({ doc, live }, request) {
	const jobs = (live?.workers || []).map((worker) => worker.job).filter(Boolean);
	const fate = AT_DEADLINE[parsed(doc.options).on_timeout]?.if_forced || "";
	const list = jobs.map((job) => `<li>${job_text(job)}</li>`).join("");
	const message = jobs.length
		? `<p>${__("These jobs are running:")}</p><ul class="restart-jobs">${list}</ul><p>${fate}</p>`
		: `<p>${__("No job is running any more. Any job that starts in the meantime is killed.")}</p>`;
	const force = () => request("force", { operation: doc.name });
	ask_first(__("Kill running jobs?"), message, __("Kill and Continue"), force);
}

function job_text(job) {
	const where = escaped(`${job.site} · ${job.queue} · ${span(job.elapsed)}`);
	return `<span class="restart-code">${escaped(job.method)}</span> <span class="text-muted">${where}</span>`;
}

function escaped(text) {
	return frappe.utils.escape_html(text);
}

function text_of(error) {
	return error instanceof Away ? __("The web server does not answer right now. Try again.") : error.message;
}
