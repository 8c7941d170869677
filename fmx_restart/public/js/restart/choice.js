/** What someone chose in the dialog, and the arguments that fmx_restart.api takes for it. */

import { CLOSABLE_WHILE_HELD, OPTIONS_OF_HOSTS, OPTIONS_WITH_MIGRATION, STRATEGIES, strategy_named } from "./words";

/** Options that only some strategies have. The others get what the server takes without it. */
const OF_SOME = new Set(STRATEGIES.flatMap(({ options }) => options));

export function first_choice() {
	return {
		strategy: "",
		wait_workers_timeout: "",
		on_timeout: "",
		force_kill_timeout: "",
		rolling_share: "",
		hosts: [],
		host_batch: "",
		host_pause: "",
		canary: "",
		web: true,
		workers: true,
		migrate: false,
		sites: "",
		migrate_timeout: "",
		backup: true,
		skip_failing: false,
		hold_web: false,
		update_config: false,
		force: false,
		maintenance_mode: ["migrate"],
		at: "",
		repeat: "",
	};
}

/** @param hosts those of an operation's options; nothing where all were restarted together */
export function chosen_hosts(hosts) {
	if (!hosts) {
		return {};
	}
	const { names, batch, share, pause, canary } = hosts;
	return { hosts: [...names], host_batch: batch || (share ? `${share * 100}%` : ""), host_pause: pause || "", canary: canary ?? "" };
}

export function applies(option, choice) {
	if (option === "hold_web" && !choice.web) {
		return false; // web is not stopped then
	}
	if (option === "repeat") {
		return Boolean(choice.at);
	}
	if (OPTIONS_WITH_MIGRATION.includes(option)) {
		return migrates(choice);
	}
	if (option === "host_pause" && !choice.host_batch && !choice.canary) {
		return false; // there is one group
	}
	if (option === "update_config" && !choice.workers) {
		return true; // no worker has to stay in service
	}
	if (OPTIONS_OF_HOSTS.includes(option) && (migrates(choice) || !choice.workers)) {
		return !migrates(choice); // a migration is of all hosts; where no job notices, any strategy goes host by host
	}
	return !OF_SOME.has(option) || Boolean(strategy_named(choice.strategy)?.options.includes(option));
}

function migrates(choice) {
	return applies("migrate", choice) && choice.migrate;
}

/** The phases in which the sites can be closed, with this choice. */
export function closable_phases(choice) {
	const phases = strategy_named(choice.strategy)?.closable || [];
	const is_held = applies("hold_web", choice) && choice.hold_web;
	return phases.filter((phase) => (is_held ? CLOSABLE_WHILE_HELD.includes(phase) : phase !== "migrate" || migrates(choice)));
}

export function arguments_of(choice) {
	const told = Object.entries(choice).filter(([option]) => applies(option, choice));
	const args = Object.fromEntries(told.map(([option, value]) => [option, plain(value)]));
	const closed = choice.maintenance_mode.filter((phase) => closable_phases(choice).includes(phase));
	return { ...args, maintenance_mode: closed.join(",") || "none" };
}

function plain(value) {
	return typeof value === "boolean" ? Number(value) : value;
}
