/** The form of a Restart Operation: polls as long as it runs, through the restart of the web server that serves it. */
import { createApp, nextTick, reactive } from "vue";
import OperationForm from "./OperationForm.vue";
import { actions_for } from "./actions";
import { ask, Away } from "./api";
import { welcome } from "./arrival";
import { AWAY, LIVELY } from "./pace";
import { Poll } from "./poll";

/** Seconds between two looks, with one request each; pace.js says when they are closer. */
const PAUSE = 2.5;
/** The realtime event of adapters/realtime.py. */
const PAUSE_NOTICE = "fmx_restart_pause";
/** What goes on for minutes, with a new number at every look. */
const LASTING = new Set(["StillRunning", "StillVerifying"]);
/** The form's own fields that the view tells better. They stay for prints, reports and exports. */
const TOLD_BY_THE_VIEW = [
	...["operation_section", "outcome_section", "phases_section", "jobs_section", "named_jobs_section"],
	...["processes_section", "migrations_section", "settings_section", "log_section"],
	...["asked_section", "record_section"],
];

/** From Frappe 16 on a form reaches to the edges of its page, and each section keeps its own distance. */
function has_padded_forms() {
	return parseInt(frappe.boot.versions?.frappe) < 16;
}

/** Called at every refresh of the form. */
export function show_operation(frm) {
	if (frm.restart_view?.name !== frm.docname) {
		frm.restart_view?.close();
		frm.restart_view = new OperationView(frm);
	}
	frm.restart_view.refresh();
}

class OperationView {
	constructor(frm) {
		this.frm = frm;
		this.name = frm.docname;
		this.cursor = 0;
		this.state = reactive({ doc: {}, facts: [], may: [], live: null, status: null, is_away: false, trouble: "" });
		this.poll = new Poll(() => this.look(), PAUSE);
		this.mount();
		$(frm.wrapper).on("hide.restart", () => this.poll.stop());
		this.on_pause = ({ state }) => this.note_pause(state);
		frappe.realtime.on(PAUSE_NOTICE, this.on_pause);
	}

	/** The operation tells all of Desk before web stops, which may be back before the next look. That look says whether it is. */
	note_pause(state) {
		if (this.is_open() && state !== "back") {
			this.state.is_away = true;
		}
	}

	mount() {
		this.$element = $('<div class="restart-root"></div>').prependTo(this.frm.layout.wrapper);
		this.$element.toggleClass("is-padded", !has_padded_forms());
		this.app = createApp(OperationForm, { state: this.state, actions: actions_for(this.poll) });
		SetVueGlobals(this.app);
		this.app.mount(this.$element[0]);
	}

	close() {
		this.poll.stop();
		frappe.realtime.off(PAUSE_NOTICE, this.on_pause);
		$(this.frm.wrapper).off("hide.restart");
		this.app.unmount();
		this.$element.remove();
	}

	refresh() {
		this.frm.toggle_display(TOLD_BY_THE_VIEW, false);
		// Frappe would reload the form each time the record is written, and complain when web does not answer
		this.frm.debounced_reload_doc = () => this.is_open() || this.frm.reload_doc();
		this.take(this.frm.doc);
		nextTick(() => welcome(this.name, this.$element[0]));
		if (this.is_open()) {
			this.poll.start();
		} else {
			this.poll.stop();
		}
	}

	take(doc) {
		this.state.doc = JSON.parse(JSON.stringify(doc)); // Frappe keeps changing its own
		this.frm.page.set_indicator(...frappe.get_indicator(doc, this.frm.doctype));
	}

	is_open() {
		return ["Queued", "Running"].includes(this.state.doc.status);
	}

	async look() {
		try {
			const is_lively = await this.look_at_all();
			Object.assign(this.state, { is_away: false, trouble: "" });
			return is_lively ? LIVELY : null;
		} catch (error) {
			const is_away = error instanceof Away;
			Object.assign(this.state, { is_away, trouble: error.message });
			return is_away ? AWAY : null;
		}
	}

	/** @returns whether something has happened since the last look */
	async look_at_all() {
		const { modified } = this.state.doc;
		const told = await ask("watch", { operation: this.name, cursor: this.cursor, modified });
		this.cursor = told.cursor;
		this.state.facts.push(...told.facts);
		Object.assign(this.state, { may: told.may, live: told.now, status: told.queued });
		if (told.row) {
			this.take(told.row);
		}
		if (told.is_over) {
			this.finish();
		}
		return told.facts.some(({ event }) => !LASTING.has(event));
	}

	finish() {
		this.poll.stop();
		this.frm.reload_doc(); // its own fields, and its timeline of comments
	}
}
