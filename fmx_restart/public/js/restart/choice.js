/** What somebody chose in the dialog, and the arguments that fmx_restart.api takes for it. */

/** Option → the strategies that it means something to. The others get what the server takes without it. */
const MEANS_SOMETHING_TO = {
	wait_workers_timeout: ["wait-workers", "rolling"],
	on_timeout: ["wait-workers", "fast"],
	force_kill_timeout: ["fast", "suspend-rq"],
	rolling_share: ["rolling"],
	migrate: ["wait-workers"],
};
const ONLY_WITH_MIGRATE = ["sites", "migrate_timeout", "backup", "skip_failing"];

export function first_choice() {
	return {
		strategy: "",
		wait_workers_timeout: "",
		on_timeout: "",
		force_kill_timeout: "",
		rolling_share: "",
		web: true,
		workers: true,
		migrate: false,
		sites: "",
		migrate_timeout: "",
		backup: true,
		skip_failing: false,
		force: false,
		maintenance_mode: [],
	};
}

export function applies(option, choice) {
	if (ONLY_WITH_MIGRATE.includes(option)) {
		return applies("migrate", choice) && choice.migrate;
	}
	return !MEANS_SOMETHING_TO[option] || MEANS_SOMETHING_TO[option].includes(choice.strategy);
}

/** The phases in which the sites can be closed, with this choice. */
export function closable_phases(choice) {
	return [
		...(["wait-workers", "fast"].includes(choice.strategy) ? ["drain"] : []),
		...(applies("migrate", choice) && choice.migrate ? ["migrate"] : []),
		"restart",
	];
}

export function arguments_of(choice) {
	const told = Object.entries(choice).filter(([option]) => applies(option, choice));
	const args = Object.fromEntries(told.map(([option, value]) => [option, plain(value)]));
	const closed = choice.maintenance_mode.filter((phase) => closable_phases(choice).includes(phase));
	return { ...args, maintenance_mode: closed.join(",") };
}

function plain(value) {
	return typeof value === "boolean" ? Number(value) : value;
}
