/** An operation in one sentence. */
import { phase_label, phase_text, span } from "./words";

export function headline_of(doc) {
	switch (doc.status) {
		case "Queued":
			return phase_text("Queued");
		case "Running":
			return phase_text(doc.phase) || doc.phase;
		default:
			return doc.failure === "NeverLaunched" ? __("Never launched") : doc.headline || ended(doc);
	}
}

/** Of rows that were written before the server wrote a sentence. */
function ended(doc) {
	const phases = (doc.phases || []).filter((row) => row.phase !== doc.status);
	const last = phases.length ? phases[phases.length - 1].phase : "";
	const label = phase_label(doc.status);
	return last && doc.status !== "Done"
		? __("{0} after {1}, in phase {2}", [label, span(doc.duration), phase_label(last)])
		: __("{0} after {1}", [label, span(doc.duration)]);
}
