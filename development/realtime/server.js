/**
 * Realtime for the development bench: what Frappe publishes on Redis reaches the browsers that may see it.
 *
 * Python publishes {event, message, room, namespace} on the channel "events"; a namespace is a site. Rooms are named
 * by Frappe (frappe/realtime.py). Lives in apps/frappe/realtime of the bench.
 */
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { createClient } = require("@redis/client");
const { Server } = require("socket.io");

const config = readConfig();
const server = http.createServer();
const io = new Server(server, { cors: { origin: true, credentials: true }, cleanupEmptyChildNamespaces: true });
// any name may be a site; whether the caller is someone there is asked of that site below
const sites = io.of(/^\/.+$/);

sites.use((socket, next) => {
	identify(socket).then(
		() => next(),
		(error) => next(new Error(`Unauthorized: ${error.message}`))
	);
});
sites.on("connection", (socket) => {
	joinOwnRooms(socket);
	listenForSubscriptions(socket);
	listenForOpenDocuments(socket);
});

server.listen(config.socketio_port, "127.0.0.1");
relayEvents();

function readConfig() {
	const file = path.resolve(__dirname, "../../../sites/common_site_config.json");
	return JSON.parse(fs.readFileSync(file, "utf8"));
}

/** Ask the site who the cookie belongs to. Pages of other hosts may not use a visitor's cookie here. */
async function identify(socket) {
	const { host, origin, cookie } = socket.request.headers;
	// without the ports, as in Frappe: nginx names its own in the one and none in the other
	if (origin && new URL(origin).hostname !== new URL(`http://${host}`).hostname) {
		throw new Error("origin and host differ");
	}
	if (!/(^|;\s*)sid=/.test(cookie || "")) {
		throw new Error("no session");
	}
	const { user, user_type } = await ask(socket, "get_user_info");
	Object.assign(socket, { user, userType: user_type });
}

async function ask(socket, method, query = {}) {
	const url = `http://127.0.0.1:${config.webserver_port}/api/method/frappe.realtime.${method}?${new URLSearchParams(query)}`;
	const site = socket.nsp.name.slice(1);
	const headers = { Cookie: socket.request.headers.cookie, "X-Frappe-Site-Name": site };
	const answer = await fetch(url, { headers });
	if (!answer.ok) {
		throw new Error(`${method} answered ${answer.status}`);
	}
	return (await answer.json()).message;
}

function joinOwnRooms(socket) {
	socket.join([`user:${socket.user}`, "website"]);
	if (socket.userType === "System User") {
		socket.join("all");
	}
}

function listenForSubscriptions(socket) {
	const doctypeRoom = (doctype) => `doctype:${doctype}`;
	const docRoom = (doctype, docname) => `doc:${doctype}/${docname}`;

	socket.on("ping", () => socket.emit("pong"));
	socket.on("doctype_subscribe", (doctype) =>
		joinIfAllowed(socket, doctypeRoom(doctype), "can_subscribe_doctype", { doctype })
	);
	socket.on("doctype_unsubscribe", (doctype) => socket.leave(doctypeRoom(doctype)));
	socket.on("doc_subscribe", (doctype, docname) =>
		joinIfAllowed(socket, docRoom(doctype, docname), "can_subscribe_doc", { doctype, docname })
	);
	socket.on("doc_unsubscribe", (doctype, docname) => socket.leave(docRoom(doctype, docname)));
	for (const event of ["task_subscribe", "progress_subscribe"]) {
		socket.on(event, (task) => socket.join(`task_progress:${task}`));
	}
	socket.on("task_unsubscribe", (task) => socket.leave(`task_progress:${task}`));
}

function listenForOpenDocuments(socket) {
	const room = (doctype, docname) => `open_doc:${doctype}/${docname}`;

	socket.on("doc_open", async (doctype, docname) => {
		await joinIfAllowed(socket, room(doctype, docname), "can_subscribe_doc", { doctype, docname });
		await tellViewers(socket.nsp, room(doctype, docname), doctype, docname);
	});
	socket.on("doc_close", async (doctype, docname) => {
		socket.leave(room(doctype, docname));
		await tellViewers(socket.nsp, room(doctype, docname), doctype, docname);
	});
}

async function joinIfAllowed(socket, room, method, query) {
	try {
		await ask(socket, method, query);
		socket.join(room);
	} catch {
		// not allowed, or the web is away: the page simply gets no live changes
	}
}

async function tellViewers(namespace, room, doctype, docname) {
	const viewers = await namespace.in(room).fetchSockets();
	const users = [...new Set(viewers.map((viewer) => viewer.user))];
	namespace.to(room).emit("doc_viewers", { doctype, docname, users });
}

/** node-redis reconnects by itself when Redis was away; it only wants its errors heard. */
async function relayEvents() {
	const subscriber = createClient({ url: config.redis_queue });
	subscriber.on("error", (error) => console.error(`redis: ${error.message}`));
	await subscriber.connect();
	await subscriber.subscribe("events", (text) => {
		const { event, message, room, namespace } = JSON.parse(text);
		const site = io.of(`/${namespace}`);
		(room ? site.to(room) : site).emit(event, message);
	});
}
