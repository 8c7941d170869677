/** The answers of fmx_restart.api.charts, as frappe-charts takes them. It writes labels as markup: they are escaped. */
import { time_in_site_zone } from "./words";

const MINUTE = 60; // seconds
const escaped = (text) => frappe.utils.escape_html(text);

export function depths(charts) {
	const { times, queues } = charts.depths;
	return {
		labels: times.map((time) => time_in_site_zone(time, "HH:mm")),
		datasets: Object.entries(queues).map(([name, values]) => ({ name: escaped(name), values })),
	};
}

/** Every minute has its place; one that nobody counted has no bar. */
export function throughput(charts) {
	const { times, finished, failed } = charts.throughput;
	const known = new Map(times.map((time, index) => [time, index]));
	const last = times.length ? times[times.length - 1] : 0;
	const minutes = [];
	for (let time = times[0] || 0; times.length && time <= last; time += MINUTE) {
		minutes.push(time);
	}
	const values = (numbers) => minutes.map((time) => numbers[known.get(time)] || 0);
	return {
		labels: minutes.map((time) => time_in_site_zone(time, "HH:mm")),
		datasets: [
			{ name: __("Finished"), values: values(finished) },
			{ name: __("Failed"), values: values(failed) },
		],
	};
}
