/** The form of a Restart Operation: polls as long as it runs, through the restart of the web server that serves it. */
import { createApp, reactive } from "vue";
import OperationForm from "./OperationForm.vue";
import { actions_for } from "./actions";
import { ask, Away, fetch_operation } from "./api";
import { Poll } from "./poll";

/** Seconds between two looks. */
const PAUSE = 1;
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
		$(this.frm.wrapper).off("hide.restart");
		this.app.unmount();
		this.$element.remove();
	}

	refresh() {
		this.frm.toggle_display(TOLD_BY_THE_VIEW, false);
		// Frappe would reload the form each time the record is written, and complain when web does not answer
		this.frm.debounced_reload_doc = () => this.is_open() || this.frm.reload_doc();
		this.take(this.frm.doc);
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
			await this.look_at_all();
			Object.assign(this.state, { is_away: false, trouble: "" });
		} catch (error) {
			Object.assign(this.state, { is_away: error instanceof Away, trouble: error.message });
		}
	}

	async look_at_all() {
		const told = await ask("feed", { operation: this.name, cursor: this.cursor });
		this.cursor = told.cursor;
		this.state.may = told.may;
		this.state.facts.push(...told.facts);
		const { status, phase } = this.state.doc;
		if (told.facts.length || told.status !== status || told.phase !== phase) {
			this.take(await fetch_operation(this.name));
		}
		if (told.is_over) {
			this.finish();
		} else if (told.status === "Queued") {
			this.state.status = await ask("status", { operation: this.name });
		} else {
			this.state.status = null;
			this.state.live = await ask("workers");
		}
	}

	finish() {
		this.poll.stop();
		this.frm.reload_doc(); // its own fields, and its timeline of comments
	}
}
