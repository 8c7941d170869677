/** The verdict on pages of Frappe's own: above the list, and in the workspace. */
import { createApp, h, reactive } from "vue";
import VerdictBar from "./VerdictBar.vue";
import { ask } from "./api";
import { AWAY } from "./pace";
import { Poll } from "./poll";

/** Seconds between two looks, and between two looks at what is scheduled. */
const PAUSE = 5;
const SCHEDULE_PAUSE = 60;

/**
 * @param place an element of a page; it asks only while that is shown, and ends with it
 * @param has_state workers, waiting jobs, the last operation and the next scheduled one are told, too
 * @param heed function: told each verdict, and whether an operation has begun or ended since the one before
 */
export function show_verdict(place, { has_state = false, heed = () => {} } = {}) {
	const state = reactive({ now: null, next: null, is_away: false, has_state });
	const app = createApp({ render: () => h(VerdictBar, state) });
	SetVueGlobals(app);
	app.mount(place);
	const polls = [new Poll(() => look(place, state, end, heed), PAUSE)];
	if (has_state) {
		polls.push(new Poll(() => look_at_schedule(place, state), SCHEDULE_PAUSE));
	}
	function end() {
		polls.forEach((poll) => poll.stop());
		app.unmount();
	}
	polls.forEach((poll) => poll.start());
}

async function look(place, state, end, heed) {
	if (!place.isConnected) {
		end();
		return;
	}
	if (!place.getClientRects().length && state.now) {
		return; // another page is open
	}
	try {
		const before = state.now && under_way(state.now);
		Object.assign(state, { now: await ask("verdict"), is_away: false });
		heed(state.now, before !== null && before !== under_way(state.now));
	} catch {
		state.is_away = true; // it stays as it was, and shows that
		return AWAY;
	}
}

/** Which operation is under way, and which one was the last to end, and how. */
function under_way({ operation, last }) {
	return JSON.stringify([operation, last?.operation, last?.status]);
}

/** The next one of those that wait; it stays as it was while web does not answer. */
async function look_at_schedule(place, state) {
	if (!place.getClientRects().length && state.next) {
		return;
	}
	try {
		state.next = (await ask("scheduled")).scheduled.find((start) => !start.is_over) || null;
	} catch {
		return AWAY;
	}
}
