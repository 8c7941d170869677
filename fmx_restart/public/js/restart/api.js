/**
 * Requests to fmx_restart.api that outlive the restart of the web server they go to. Not frappe.call: that one opens an
 * error dialog whenever the server does not answer, and here it is expected not to.
 */

/** The web server does not answer: it is being restarted, or the site is closed. Ask again. */
export class Away extends Error {}

/** The server said no, with a sentence for people. Asking again changes nothing. */
export class Refused extends Error {
	constructor(message, status) {
		super(message);
		this.status = status;
	}
}

const AWAY = new Set([502, 503, 504]);
/** Seconds: a server that is told to stop may keep the connection and never answer. */
const PATIENCE = 20;

/** Read; changes nothing. @returns what fmx_restart.api's function of that name returns */
export function ask(name, args = {}, patience = PATIENCE) {
	return request(`${method_url(name)}?${new URLSearchParams(without_blanks(args))}`, {}, patience);
}

/** Act. @returns what fmx_restart.api's function of that name returns */
export function act(name, args = {}) {
	return request(method_url(name), {
		method: "POST",
		headers: { "Content-Type": "application/json", "X-Frappe-CSRF-Token": frappe.csrf_token },
		body: JSON.stringify(without_blanks(args)),
	});
}

function method_url(name) {
	return `/api/method/fmx_restart.api.${name}`;
}

async function request(url, { headers, ...options }, patience = PATIENCE) {
	const stop = new AbortController();
	const timer = setTimeout(() => stop.abort(), patience * 1000);
	try {
		const answer = await answer_to(url, {
			...options,
			headers: { Accept: "application/json", ...headers },
			credentials: "same-origin",
			signal: stop.signal,
		});
		return await message_in(answer);
	} finally {
		clearTimeout(timer);
	}
}

async function answer_to(url, options) {
	let answer;
	try {
		answer = await fetch(url, options);
	} catch {
		throw new Away(); // refused, cut off, or no answer in time
	}
	if (AWAY.has(answer.status)) {
		throw new Away();
	}
	return answer;
}

async function message_in(answer) {
	let body;
	try {
		body = await answer.json();
	} catch {
		throw answer.ok ? new Away() : new Refused(status_text(answer), answer.status);
	}
	if (!answer.ok) {
		throw new Refused(text_in(body) || status_text(answer), answer.status);
	}
	return body.message;
}

/** Of fmx_restart.api: what happened, and what to do. Frappe's own messages come as JSON in JSON, and may hold markup. */
function text_in({ error, _server_messages, exception }) {
	if (error) {
		return [error.message, error.remedy].filter(Boolean).join(" ");
	}
	try {
		const messages = JSON.parse(_server_messages).map((message) => JSON.parse(message).message);
		return messages.map(plain).join(" ");
	} catch {
		return plain(exception || "");
	}
}

function plain(html) {
	return new DOMParser().parseFromString(html, "text/html").body.textContent;
}

function status_text(answer) {
	return __("The server answered with {0}.", [`${answer.status} ${answer.statusText}`]);
}

function without_blanks(args) {
	return Object.fromEntries(
		Object.entries(args).filter(([, value]) => value !== "" && value !== null && value !== undefined)
	);
}
