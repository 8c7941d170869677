/** The dialog that starts an operation: choose, see what it would do, confirm. */
import { createApp, nextTick, reactive, watch } from "vue";
import StartDialog from "./StartDialog.vue";
import { act, ask, Away } from "./api";
import { arguments_of, first_choice } from "./choice";
import { accessible } from "./dialogs";
import { Poll } from "./poll";
import { expect_operation } from "./arrival";
import { strategy_named } from "./words";

/** Seconds between two previews. */
const PAUSE = 4;
/** Seconds to wait after the last change of an option. */
const TYPING = 0.3;
/** Attempts to start while the web server does not answer, and seconds between them. */
const ATTEMPTS = 10;
const ATTEMPT_PAUSE = 1;
/** Seconds in which nobody can have read what will happen. */
const READING = 1;

export function open_start_dialog() {
	return new Start({});
}

/** @param choice what is chosen from the beginning, by the names of choice.js; it can be changed, and is previewed */
export function open_start_dialog_with(choice) {
	return new Start(choice);
}

class Start {
	constructor(choice) {
		this.state = reactive({
			...{ choice: { ...first_choice(), ...choice }, first_verdict: null, preview: null },
			...{ is_away: false, trouble: "", refusal: "", step: "choose" },
		});
		this.poll = new Poll(() => this.look(), PAUSE);
		this.dialog = new frappe.ui.Dialog({
			title: __("Restart the Bench"),
			size: "large",
			fields: [{ fieldtype: "HTML", fieldname: "body" }],
		});
		this.$primary = this.dialog.get_primary_btn(); // which Frappe knows by its colour
		this.mount();
		this.go_to("choose");
		accessible(() => this.show_dialog());
		this.poll.start();
	}

	show_dialog() {
		this.dialog.show();
		return this.dialog;
	}

	mount() {
		this.app = createApp(StartDialog, { state: this.state });
		SetVueGlobals(this.app);
		this.app.mount(this.dialog.fields_dict.body.$wrapper[0]);
		const look_soon = frappe.utils.debounce(() => this.poll.now(), TYPING * 1000);
		watch(() => JSON.stringify(arguments_of(this.state.choice)), () => {
			this.state.refusal = ""; // it was about another choice
			look_soon();
		});
		watch(this.state, () => this.update_buttons());
		this.dialog.$wrapper.on("hidden.bs.modal", () => this.close());
		this.dialog.$wrapper[0].addEventListener("keydown", (event) => this.step_back(event), true);
	}

	/** Escape leaves one step, not all of them: it comes before Frappe's and Bootstrap's own hearing. */
	step_back(event) {
		if (event.key === "Escape" && this.state.step !== "choose") {
			event.preventDefault();
			event.stopPropagation();
			this.state.step === "confirm" && this.go_back();
		}
	}

	go_back() {
		this.go_to("choose");
		this.end_reading();
		this.$primary.trigger("focus");
	}

	close() {
		this.poll.stop();
		this.app.unmount();
		this.dialog.$wrapper.remove();
	}

	/** A preview that was overtaken by another choice is asked for again at once. */
	async look() {
		let asked;
		await this.choose();
		do {
			asked = JSON.stringify(arguments_of(this.state.choice));
			await this.take_preview(JSON.parse(asked));
		} while (asked !== JSON.stringify(arguments_of(this.state.choice)) && this.poll.is_on);
	}

	/** What fits the situation is chosen first, so that the first preview is of it. The preview tells what is wrong, if this cannot. */
	async choose() {
		if (this.state.choice.strategy) {
			return;
		}
		try {
			const { verdict, recommended } = await ask("verdict");
			this.state.first_verdict = verdict;
			this.state.choice.strategy ||= recommended;
		} catch {
			this.state.first_verdict = null;
		}
	}

	async take_preview(args) {
		try {
			const preview = await ask("preview", args);
			const asked = JSON.stringify(args);
			Object.assign(this.state, { preview: { ...preview, asked }, is_away: false, trouble: "" });
			this.state.choice.strategy ||= preview.recommended;
		} catch (error) {
			const is_away = error instanceof Away;
			Object.assign(this.state, { is_away, trouble: is_away ? "" : error.message });
		}
	}

	go_to(step) {
		this.state.step = step;
		const { dialog } = this;
		this.$primary.addClass("btn-primary");
		if (step === "choose") {
			dialog.set_primary_action(__("Continue…"), () => this.confirm());
			dialog.set_secondary_action_label(__("Close"));
			dialog.set_secondary_action(() => dialog.hide());
		} else {
			dialog.set_primary_action(this.state.choice.at ? __("Schedule") : __("Restart Now"), () => this.start());
			dialog.set_secondary_action_label(__("Back"));
			dialog.set_secondary_action(() => this.go_back());
		}
		this.update_buttons();
	}

	/** The button stays where it was, so a second press of the same key or a double click must not be taken as an answer. */
	async confirm() {
		this.is_too_early = true;
		this.state.refusal = "";
		this.go_to("confirm");
		await nextTick();
		this.dialog.$wrapper.find(".restart-consequences-title").trigger("focus");
		this.reading = setTimeout(() => this.end_reading(), READING * 1000);
	}

	end_reading() {
		clearTimeout(this.reading);
		this.is_too_early = false;
		this.update_buttons();
	}

	/** What would be refused, or is not what was confirmed, cannot be started; the verdict above says why. */
	update_buttons() {
		const { preview, trouble, is_away, step } = this.state;
		// what stands against a restart now need not do so then
		const is_later = Boolean(this.state.choice.at);
		const is_refused = step === "confirm" && !is_later && preview?.verdict.level === "error";
		const is_held = !is_later && Boolean(preview?.holder);
		const is_forceful = step === "confirm" && Boolean(strategy_named(this.state.choice.strategy)?.kills);
		const is_blocked = this.is_too_early || Boolean(trouble) || is_away || is_held || is_refused;
		this.$primary
			.prop("disabled", is_blocked || !this.is_shown(step))
			.attr("title", is_refused ? preview.verdict.text : null)
			.toggleClass("btn-danger", is_forceful)
			.toggleClass("btn-primary", !is_forceful);
	}

	/** Whether what is confirmed is what the preview tells of: another choice may have overtaken it. */
	is_shown(step) {
		const { preview, choice } = this.state;
		const is_current = preview?.asked === JSON.stringify(arguments_of(choice));
		return step === "choose" ? Boolean(preview) : step === "confirm" && is_current;
	}

	/** The key makes it one operation, however often it has to be asked for. */
	async start() {
		this.poll.stop();
		this.state.step = "starting";
		const key = frappe.utils.get_random(20);
		try {
			this.show(await this.insist({ ...arguments_of(this.state.choice), idempotency_key: key }));
		} catch (error) {
			// not `trouble`, which the next preview takes away
			this.state.refusal = error.message || __("The web server does not answer. Try again.");
			this.go_to("choose");
			this.poll.start();
		}
	}

	async insist(args) {
		for (let attempt = 1; ; attempt++) {
			try {
				return await act("start", args);
			} catch (error) {
				if (!(error instanceof Away) || attempt === ATTEMPTS) {
					throw error;
				}
				await new Promise((resolve) => setTimeout(resolve, ATTEMPT_PAUSE * 1000));
			}
		}
	}

	show({ operation, is_new, launched_by, message }) {
		this.dialog.hide();
		if (!operation) {
			// it is scheduled; there is no operation yet
			frappe.show_alert({ message: frappe.utils.escape_html(message), indicator: "green" }, 10);
			return;
		}
		if (!is_new || launched_by === "web") {
			frappe.show_alert({ message: frappe.utils.escape_html(message), indicator: "orange" }, 10);
		}
		expect_operation(operation);
		frappe.set_route("Form", "Restart Operation", operation);
	}
}
