/** Names of programs as people say them; what is shown keeps the whole one beside it. Imports nothing: Node runs it in a test. */

/** What bench puts in front of the programs that it writes for a process manager, behind the name of the manager. */
const OF_BENCH = /^((?:.*\/)?).*-(?:frappe|node)-(.+)$/;

/** "fmx-bench-workers:fmx-bench-frappe-long-worker-0" → "long-worker-0", by the rule of console/program_names.py. */
export function short_program(name) {
	return name.replace(/\.service$/, "").replace(OF_BENCH, "$1$2");
}

/** @returns name → its short form; the whole name where two would be called the same */
export function short_programs(names) {
	const short = names.map(short_program);
	return Object.fromEntries(names.map((name, index) => [name, short.indexOf(short[index]) === short.lastIndexOf(short[index]) ? short[index] : name]));
}
