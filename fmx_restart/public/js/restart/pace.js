/** How long to wait before the next question. */

/** What a look found: web does not answer. */
export const AWAY = "away";
/** Or: things happen just now. */
export const LIVELY = "lively";

/** Seconds between two questions while things happen, and after the first one that got no answer. */
const QUICK = 1;
/** Of these so many in any minute; the rest of it has the usual pauses. */
const QUICK_ONES = 8;
/** Seconds between two questions while web stays away. */
const LONGEST = 8;
const MINUTE = 60 * 1000; // milliseconds

/**
 * @param usual seconds between two questions. With 2.5 or more there are at most 30 in a minute
 * @returns function: what the last look found → seconds until the next one
 */
export function pause_after(usual) {
	let [failures, quick] = [0, []];

	function may_be_quick() {
		const now = Date.now();
		quick = quick.filter((time) => time > now - MINUTE);
		const may = quick.length < QUICK_ONES;
		if (may) {
			quick.push(now);
		}
		return may;
	}

	return (found) => {
		failures = found === AWAY ? failures + 1 : 0;
		if ((found === LIVELY || failures === 1) && may_be_quick()) {
			return QUICK;
		}
		return failures > 1 ? Math.max(usual, Math.min(LONGEST, usual * 2 ** (failures - 2))) : usual;
	};
}
