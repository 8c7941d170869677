/** The verdict on pages of Frappe's own: above the list, and in the workspace. */
import { createApp, h, reactive } from "vue";
import VerdictBar from "./VerdictBar.vue";
import { ask } from "./api";
import { AWAY } from "./pace";
import { Poll } from "./poll";

/** Seconds between two looks. */
const PAUSE = 5;

/**
 * @param place an element of a page; it asks only while that is shown, and ends with it
 * @param has_state workers, waiting jobs and the last operation are told, too
 */
export function show_verdict(place, { has_state = false } = {}) {
	const state = reactive({ now: null, is_away: false, has_state });
	const app = createApp({ render: () => h(VerdictBar, state) });
	SetVueGlobals(app);
	app.mount(place);
	const poll = new Poll(() => look(place, state, end), PAUSE);
	function end() {
		poll.stop();
		app.unmount();
	}
	poll.start();
}

async function look(place, state, end) {
	if (!place.isConnected) {
		end();
		return;
	}
	if (!place.getClientRects().length && state.now) {
		return; // another page is open
	}
	try {
		Object.assign(state, { now: await ask("verdict"), is_away: false });
	} catch {
		state.is_away = true; // it stays as it was, and shows that
		return AWAY;
	}
}
