/** The answers of fmx_restart.api.charts, as frappe-charts takes them. It writes labels as markup: they are escaped. */
import { clock } from "./words";

const escaped = (text) => frappe.utils.escape_html(text);

export function depths(charts) {
	const { times, queues } = charts.depths;
	return {
		labels: times.map((time) => clock(time, "HH:mm")),
		datasets: Object.entries(queues).map(([name, values]) => ({ name: escaped(name), values })),
	};
}

export function throughput(charts) {
	const { times, finished, failed } = charts.throughput;
	return {
		labels: times.map((time) => clock(time, "HH:mm")),
		datasets: [
			{ name: __("Finished"), values: finished },
			{ name: __("Failed"), values: failed },
		],
	};
}

const tenths = (seconds) => Math.round((seconds || 0) * 10) / 10;

export function durations(charts) {
	return {
		labels: charts.durations.map(({ started }) => moment(started).format("D MMM HH:mm")),
		datasets: [
			{ name: __("Duration (s)"), values: charts.durations.map(({ duration }) => tenths(duration)) },
			{ name: __("Outage (s)"), values: charts.durations.map(({ web_outage }) => tenths(web_outage)) },
		],
	};
}
