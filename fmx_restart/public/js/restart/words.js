/** What the server calls things, and how durations, sizes and times are written. */

/** The server's words and rules (desk/vocabulary.py): strategies in order, phases by name. */
const vocabulary = frappe.boot.fmx_restart || {
	strategies: [],
	phases: {},
	phases_without_workers: [],
	options_with_migration: [],
	options_of_hosts: [],
	option_lines: {},
	closable_while_held: [],
	at_deadline: {},
};

export const STRATEGIES = vocabulary.strategies;
export const OPTIONS_WITH_MIGRATION = vocabulary.options_with_migration;
/** Options that choose hosts and their groups. */
export const OPTIONS_OF_HOSTS = vocabulary.options_of_hosts;
/** What an option does, where its label is not enough. */
export const OPTION_LINES = vocabulary.option_lines;
/** The phases in which sites can be closed although web's requests wait. */
export const CLOSABLE_WHILE_HELD = vocabulary.closable_while_held;
/** What becomes of jobs that are still running at the deadline, by the value of on_timeout. */
export const AT_DEADLINE = vocabulary.at_deadline;

export function strategy_named(name) {
	return STRATEGIES.find((known) => known.strategy === name);
}

/** The phases that an operation goes through when all goes well. */
export function expected_phases({ strategy, migrate }, { workers = true, migration } = {}) {
	const order = workers ? strategy_named(strategy)?.phases || [] : vocabulary.phases_without_workers;
	const left_out = new Set([migrate ? "" : "Migrate", migration?.backup ? "" : "Backup"]);
	return ["Preflight", ...order.filter((phase) => !left_out.has(phase)), "Done"];
}

export function phase_label(phase) {
	return vocabulary.phases[phase]?.label || phase;
}

export function phase_text(phase) {
	return vocabulary.phases[phase]?.text || "";
}

/** Whether running jobs are waited for in this phase. */
export function waits_for_jobs(phase) {
	return Boolean(vocabulary.phases[phase]?.waits_for_jobs);
}

export function strategy_label(strategy) {
	return strategy_named(strategy)?.label || strategy;
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

/** The name of the zone in which the site keeps its date-times. */
export function site_zone() {
	return frappe.boot.time_zone?.system || "UTC";
}

/** An instant in seconds since the epoch in that zone. */
export function time_in_site_zone(instant, format) {
	return moment_in_site_zone(instant).format(format);
}

/** Seconds that the site's clock is ahead of UTC at that instant. */
export function zone_offset(instant) {
	return moment_in_site_zone(instant).utcOffset() * 60;
}

/** Of a date-time as the site keeps it: seconds since the epoch. */
export function instant_of(datetime) {
	return moment.tz(datetime, site_zone()).valueOf() / 1000;
}

function moment_in_site_zone(instant) {
	return moment.unix(instant).tz(site_zone());
}

/** The name of the zone in which a date-time of the site is shown to the user. */
export function zone_of(datetime) {
	return frappe.datetime.convert_to_user_tz(datetime, false).format("z");
}

/** Of a date-time as the site keeps it: the time of day in UTC, as in 04:27:44. */
export function utc_time_of(datetime) {
	return moment.tz(datetime, site_zone()).utc().format("HH:mm:ss");
}

/** "one" or "many", for whole sentences: __ has no plural forms. */
export function count(number, one, many) {
	return number === 1 ? one : many.replace("{0}", number);
}
