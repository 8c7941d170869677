/**
 * A browser's live connection without the browser: connects to a site's realtime server, and again whenever it is away.
 * Each line that it writes is {"event": "connect" | "disconnect" | "connect_error", "time", "reason"}.
 *
 * Usage: node websocket.js FRAPPE_FOLDER URL SITE SID
 */
"use strict";

const { createRequire } = require("node:module");
const path = require("node:path");

const [frappe, url, site, sid] = process.argv.slice(2);
const { io } = loadClient();

const socket = io(`${url}/${site}`, {
	transports: ["websocket"],
	extraHeaders: { Cookie: `sid=${sid}`, Host: new URL(url).host },
});
socket.on("connect", () => note("connect"));
socket.on("disconnect", (reason) => note("disconnect", reason));
socket.on("connect_error", (error) => {
	note("connect_error", error.message);
	// a server that refuses is not asked again by socket.io, a page of Desk is loaded anew then
	if (!socket.active) {
		setTimeout(() => socket.connect(), 1000);
	}
});
process.on("SIGTERM", () => process.exit(0));

function note(event, reason = "") {
	process.stdout.write(`${JSON.stringify({ event, time: Date.now() / 1000, reason })}\n`);
}

/** A checkout of Frappe has it among its own packages; ours are beside the realtime server. */
function loadClient() {
	for (const folder of [frappe, path.join(frappe, "realtime")]) {
		try {
			return createRequire(path.resolve(folder, "package.json"))("socket.io-client");
		} catch {
			continue;
		}
	}
	throw new Error("socket.io-client is not installed in the bench");
}
