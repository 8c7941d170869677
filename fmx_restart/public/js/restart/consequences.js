/** What will happen, one sentence each, in the order in which it will. */
import { applies } from "./choice";
import { count, span } from "./words";

const WITH_FENCE = new Set(["wait-workers", "fast", "suspend-rq", "no-wait-workers"]);
const PATIENT = new Set(["no-wait-workers", "rolling"]);

export function consequences(choice, preview) {
	return [
		...(choice.workers ? about_jobs(choice, preview) : [__("Workers and their jobs are left alone.")]),
		...(applies("sites", choice) ? about_migration(choice) : []),
		...about_processes(choice, preview),
	];
}

function about_jobs(choice, preview) {
	return [
		...(WITH_FENCE.has(choice.strategy) ? [__("New jobs wait in their queues meanwhile; none is lost.")] : []),
		...(preview.jobs.length ? about_running(choice, preview) : [__("No job is running now.")]),
	];
}

function about_running({ strategy }, preview) {
	const running = count(
		preview.jobs.length,
		__("One job is running"),
		__("{0} jobs are running")
	);
	if (PATIENT.has(strategy)) {
		return [__("{0}: each of their workers is replaced when its own job ends.", [running])];
	}
	const limit = span(preview.drain_timeout);
	if (strategy === "suspend-rq") {
		return [__("{0}: what takes longer than {1} is killed, and named.", [running, limit])];
	}
	return [__("{0}; at most {1} to end from now on.", [running, limit]), fate(preview.on_timeout, strategy)];
}

function fate(on_timeout, strategy) {
	const texts = {
		abort: __("If one still runs then, nothing is restarted and the queue goes on."),
		requeue: __("What still runs then is killed and put back into its queue: it runs again from the beginning."),
		kill: __("What still runs then is killed, and named in the report."),
	};
	return texts[on_timeout || (strategy === "fast" ? "kill" : "abort")];
}

function about_migration({ sites, backup }) {
	const names = sites || frappe.boot.sitename;
	return [
		...(backup ? [__("The database of {0} is backed up.", [names])] : []),
		__("{0}: migrated, before any worker with new code begins.", [names]),
	];
}

function about_processes({ web }, preview) {
	const number = preview.steps.flatMap((step) => step.processes).length;
	return [
		count(number, __("One process is restarted."), __("{0} processes are restarted.")),
		...(web ? [__("Desk does not answer for some seconds; what people have typed stays where it is.")] : []),
	];
}
