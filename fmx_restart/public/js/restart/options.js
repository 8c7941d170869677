/** An operation's options as its record keeps them. */
export function parsed(text) {
	try {
		return JSON.parse(text || "{}");
	} catch {
		return {}; // cut off: everything can be shown without them
	}
}
