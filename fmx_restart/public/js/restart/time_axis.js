/** A time axis that is true to time. Instants and distances are in seconds. Imports nothing: Node runs it in a test. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Distances between two ticks that people read with ease. */
const STEPS = [
	...[1, 2, 5, 10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE],
	...[HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY, 364 * DAY],
];

/** @returns function: instant → place between 0 and `width` */
export function scale(from, to, width) {
	const length = Math.max(to - from, 0.001);
	return (instant) => Math.min(1, Math.max(0, (instant - from) / length)) * width;
}

/**
 * @param most ticks that there is room for
 * @param offset seconds that the clock shown is ahead of UTC: ticks are at its full minutes, hours, days
 * @returns step, and the instants of the ticks
 */
export function ticks(from, to, most, offset = 0) {
	const step = STEPS.find((seconds) => (to - from) / seconds <= most) || STEPS[STEPS.length - 1];
	const times = [];
	for (let time = Math.ceil((from + offset) / step) * step - offset; time <= to; time += step) {
		times.push(time);
	}
	return { step, times };
}

/** moment's format for the labels of ticks at this distance. */
export function tick_format(step) {
	return step < MINUTE ? "HH:mm:ss" : step < DAY ? "HH:mm" : "D MMM";
}
