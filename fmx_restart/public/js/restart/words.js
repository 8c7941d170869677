/** What things are called on the screen, and how durations, sizes and times are written. */

export const PHASES = {
	Queued: { label: __("Queued"), text: __("Waiting for a worker to launch it") },
	Preflight: { label: __("Preflight"), text: __("Looking whether everything is as it should be") },
	Fence: { label: __("Fence"), text: __("From now on no worker starts a job") },
	Park: { label: __("Park"), text: __("Idle workers leave their queues") },
	Drain: { label: __("Drain"), text: __("Waiting until no job runs") },
	Backup: { label: __("Backup"), text: __("Backing up each database") },
	Migrate: { label: __("Migrate"), text: __("Migrating one site after the other") },
	Restart: { label: __("Restart"), text: __("Stopping and starting the processes") },
	Lift: { label: __("Lift"), text: __("The queue moves again") },
	Verify: { label: __("Verify"), text: __("Waiting until every process is up and web answers") },
	Handover: { label: __("Handover"), text: __("Each busy worker is replaced when its own job ends") },
	Audit: { label: __("Audit"), text: __("Comparing the jobs before and after") },
	Done: { label: __("Done"), text: __("Done") },
	Aborted: { label: __("Aborted"), text: __("Aborted: nothing was changed, or it was all put back") },
	Failed: { label: __("Failed"), text: __("Failed: it needs somebody's attention") },
	Recovered: { label: __("Recovered"), text: __("Its process died; what it left was put right") },
};

export const STRATEGIES = {
	"wait-workers": {
		label: __("Wait for running jobs"),
		line: __("Running jobs finish first, then everything is restarted side by side."),
	},
	rolling: {
		label: __("One worker after the other"),
		line: __("Web and scheduler at once, each worker when it is free; the queue keeps running."),
	},
	"no-wait-workers": {
		label: __("Now, busy workers later"),
		line: __("Web, scheduler and idle workers at once; each busy worker when its own job ends."),
	},
	"suspend-rq": {
		label: __("Suspend the queue and restart"),
		line: __("Everything is told to stop at once; a job that takes too long is killed, and named."),
	},
	fast: {
		label: __("Fast, by force"),
		line: __("Running jobs get a short grace; what still runs then is killed, and named."),
	},
};

const WITH_FENCE = ["Fence", "Park"];
const ORDER = {
	"wait-workers": [...WITH_FENCE, "Drain", "Backup", "Migrate", "Restart", "Lift", "Verify", "Audit"],
	fast: [...WITH_FENCE, "Drain", "Restart", "Lift", "Verify", "Audit"],
	"suspend-rq": [...WITH_FENCE, "Migrate", "Restart", "Lift", "Verify", "Audit"],
	"no-wait-workers": [...WITH_FENCE, "Migrate", "Restart", "Lift", "Verify", "Handover", "Audit"],
	rolling: ["Restart", "Verify", "Handover", "Audit"],
};

/** The phases that an operation goes through when all goes well. */
export function expected_phases({ strategy, migrate }, { workers = true, migration } = {}) {
	const order = workers ? ORDER[strategy] || [] : ["Restart", "Verify", "Audit"];
	const left_out = new Set([migrate ? "" : "Migrate", migration?.backup ? "" : "Backup"]);
	return ["Preflight", ...order.filter((phase) => !left_out.has(phase)), "Done"];
}

export function phase_label(phase) {
	return PHASES[phase]?.label || phase;
}

export function strategy_label(strategy) {
	return STRATEGIES[strategy]?.label || strategy;
}

/** A duration in seconds as people say it. */
export function span(seconds) {
	if (seconds === null || seconds === undefined) {
		return __("no limit");
	}
	if (seconds < 10) {
		return __("{0} s", [format_number(seconds, null, 1)], "seconds");
	}
	const whole = Math.round(seconds);
	const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
	if (hours) {
		return __("{0} h {1} min", [hours, minutes], "hours, minutes");
	}
	if (!minutes) {
		return __("{0} s", [rest], "seconds");
	}
	return rest ? __("{0} min {1} s", [minutes, rest], "minutes, seconds") : __("{0} min", [minutes], "minutes");
}

/** Bytes. */
export function size(bytes) {
	return __("{0} MB", [Math.round(bytes / 1024 / 1024)]);
}

/** An instant in seconds since the epoch as the time of the day where the user is. */
export function clock(instant, format = "HH:mm:ss") {
	const zones = frappe.boot.time_zone;
	const zone = zones?.user || zones?.system;
	const moment_of = moment.unix(instant);
	return (zone && moment_of.tz ? moment_of.tz(zone) : moment_of).format(format);
}

/** "one" or "many", for whole sentences: __ has no plural forms. */
export function count(number, one, many) {
	return number === 1 ? one : many.replace("{0}", number);
}
