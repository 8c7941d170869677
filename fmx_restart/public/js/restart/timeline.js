/** Where the bars of an operation's timeline stand, in pixels. The server's desk/timeline.py tells what there is. */
import { scale, ticks } from "./time_axis.js";

const NAME = 18; // height of a row's name
const LANE = 20; // height of a job's bar with its distance to the next one
const GAP = 8; // below each row
const BANDS = 22; // height of the phases
const AXIS = 20; // height of the clock times
const CHARACTER = 6.6; // width of one, about
const LEAST = 3; // width of a bar that can be seen
/** Of the operation's duration: how much of the time before it is shown. And seconds: at least, at most. */
const BEFORE = [0.08, 1, 60];
const TICK = 90; // distance between two clock times at least
const SIGNS = { ended: "✓", killed: "✕", "put back": "↩", "left running": "→", running: "…" };

/** The last two parts of a dotted name: the module and the function. */
export function short_name(method) {
	return method.split(".").slice(-2).join(".");
}

/**
 * @param now the newest instant that is known, for one that still runs
 * @param offset seconds that the clock shown is ahead of UTC
 */
export function layout(timeline, now, width, offset = 0) {
	const last = Math.max(timeline.to ?? now, timeline.from + 0.5);
	const [share, least, most] = BEFORE;
	const from = timeline.from - Math.min(most, Math.max(least, (last - timeline.from) * share));
	const to = last + (last - timeline.from) * 0.01;
	const x = scale(from, to, width);
	const axis = ticks(from, to, Math.max(2, width / TICK), offset);
	const phases = timeline.phases.map((phase) => band(phase, last, x)).filter(({ width }) => width > 0);
	let y = BANDS;
	const rows = timeline.rows.map((row) => {
		const placed = row_at(row, y, last, x, width);
		y += placed.height;
		return placed;
	});
	return { from, to, phases, rows, axis: { ...axis, ticks: axis.times.map((time) => ({ time, x: x(time) })) }, bottom: y, height: y + AXIS };
}

function band({ phase, from, to }, last, x) {
	const [left, right] = [x(from), x(to ?? last)];
	return { phase, x: left, width: right - left, has_room: right - left > phase.length * CHARACTER + 6 };
}

/** Jobs that ran at the same time, as in a pool, are in lanes below each other. */
function row_at(row, y, last, x, width) {
	const jobs = [...row.jobs].sort((one, other) => one.from - other.from);
	const lanes = [];
	const bars = jobs.map((job) => {
		const [left, right] = [x(job.from), Math.max(x(job.to ?? last), x(job.from) + LEAST)];
		const free = lanes.findIndex((end) => end <= left + 0.01);
		const lane = free < 0 ? lanes.length : free;
		lanes[lane] = right;
		return { ...job, lane, x: left, width: right - left, y: y + NAME + lane * LANE };
	});
	bars.forEach((bar) => Object.assign(bar, text_of(bar, bars, width)));
	const marks = row.marks.map((mark) => ({ ...mark, x: x(mark.at) }));
	const outages = (row.outages || []).map(({ from, to }) => ({ from, to: to ?? last, x: x(from), width: Math.max(LEAST, x(to ?? last) - x(from)) }));
	const count = Math.max(lanes.length, 1);
	return { ...row, y, bars, marks, outages, downs: downs_of(marks, x(last)), line: y + NAME + LANE / 2 - 2, lanes: count, height: NAME + count * LANE + GAP };
}

/** Within the bar, or beside it up to the next one of its lane; nothing where there is no room. */
function text_of(bar, bars, width) {
	const text = `${SIGNS[bar.fate] || ""} ${short_name(bar.method)}`.trim();
	const needed = text.length * CHARACTER + 8;
	if (needed <= bar.width) {
		return { text, text_x: bar.x + 4, is_inside: true };
	}
	const right = bar.x + bar.width;
	const next = Math.min(width, ...bars.filter(({ lane, x }) => lane === bar.lane && x >= right).map(({ x }) => x));
	return right + needed <= next ? { text, text_x: right + 4, is_inside: false } : { text: "", text_x: 0, is_inside: false };
}

/** From each stop to the next process: nobody is there. */
function downs_of(marks, end) {
	return marks
		.map((mark, index) => {
			const up = marks.slice(index + 1).find(({ what }) => what === "new");
			return { is_down: mark.what === "stopped", x: mark.x, width: (up ? up.x : end) - mark.x };
		})
		.filter(({ is_down }) => is_down);
}
