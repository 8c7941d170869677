/** An operation in one sentence. */
import { PHASES, phase_label, span } from "./words";

export function headline_of(doc) {
	switch (doc.status) {
		case "Queued":
			return PHASES.Queued.text;
		case "Running":
			return PHASES[doc.phase]?.text || doc.phase;
		case "Done":
			return done(doc);
		default:
			return doc.failure === "NeverLaunched" ? __("Never launched") : ended(doc);
	}
}

function done(doc) {
	const jobs = doc.jobs_before + doc.jobs_arrived;
	return jobs
		? __("Done in {0}: {1} of {2} jobs lost", [span(doc.duration), doc.jobs_lost, jobs])
		: __("Done in {0}", [span(doc.duration)]);
}

function ended(doc) {
	const phases = (doc.phases || []).filter((row) => row.phase !== doc.status);
	const last = phases.length ? phases[phases.length - 1].phase : "";
	const label = phase_label(doc.status);
	return last
		? __("{0} after {1}, in phase {2}", [label, span(doc.duration), phase_label(last)])
		: __("{0} after {1}", [label, span(doc.duration)]);
}
