/** The page Bench Workers: one request every two seconds while someone looks at it, none when nobody does. */
import { createApp, reactive } from "vue";
import BenchWorkers from "./BenchWorkers.vue";
import { ask, Away } from "./api";
import { Poll } from "./poll";
import { open_start_dialog } from "./start";

/** Seconds between two looks at the workers, and at the charts. */
const PAUSE = 2;
const CHARTS_PAUSE = 60;
/** Seconds that the doctor gets. */
const EXAMINATION = 60;

/** @param wrapper of the page, as Frappe hands it to on_page_load */
export function show_workers(wrapper, page) {
	const view = new WorkersPage(page);
	$(wrapper).on("show", () => view.start());
	$(wrapper).on("hide", () => view.stop());
	view.start();
}

class WorkersPage {
	constructor(page) {
		this.state = reactive({
			...{ now: null, charts: null, findings: null },
			...{ is_examining: false, is_away: false, trouble: "" },
		});
		this.polls = [
			new Poll(() => this.take("now", "workers"), PAUSE),
			new Poll(() => this.take("charts", "charts", { hours: 1 }), CHARTS_PAUSE),
		];
		this.page = page;
		page.set_primary_action(__("Restart…"), open_start_dialog);
		page.add_inner_button(__("Past Operations"), () => frappe.set_route("List", "Restart Operation"));
		const app = createApp(BenchWorkers, { state: this.state, examine: () => this.examine() });
		SetVueGlobals(app);
		app.mount($('<div class="restart-root restart-page"></div>').appendTo(page.main)[0]);
	}

	start() {
		this.polls.forEach((poll) => poll.start());
		this.examine();
	}

	stop() {
		this.polls.forEach((poll) => poll.stop());
	}

	async take(field, name, args) {
		try {
			this.state[field] = await ask(name, args);
			Object.assign(this.state, { is_away: false, trouble: "" });
			const { access, verdict } = this.state.now || {};
			this.page.btn_primary.toggleClass("hide", !access?.may_start).toggleClass("restart-is-refused", verdict?.level === "error");
		} catch (error) {
			const is_away = error instanceof Away;
			Object.assign(this.state, { is_away, trouble: is_away ? "" : error.message });
		}
	}

	/** Takes seconds, so it is asked for once, and whenever someone wants it. */
	async examine() {
		if (this.state.is_examining) {
			return;
		}
		this.state.is_examining = true;
		try {
			this.state.findings = await ask("findings", {}, EXAMINATION);
		} catch (error) {
			const text = error instanceof Away ? __("The web server did not answer.") : error.message;
			this.state.findings = { findings: [], error: text };
		}
		this.state.is_examining = false;
	}
}
