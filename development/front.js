/**
 * Stands where nginx does in production: serves assets and public files from disk, hands the rest to gunicorn and
 * /socket.io to the realtime server, and answers 502 while they are away.
 *
 * Usage: node front.js PORT WEB_PORT SOCKETIO_PORT SITES_FOLDER
 */
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const path = require("node:path");

const [port, webPort, socketioPort] = process.argv.slice(2, 5).map(Number);
const sites = path.resolve(process.argv[5]);

const TYPES = {
	".css": "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js": "text/javascript; charset=utf-8",
	".json": "application/json",
	".map": "application/json",
	".mp3": "audio/mpeg",
	".png": "image/png",
	".jpg": "image/jpeg",
	".gif": "image/gif",
	".svg": "image/svg+xml",
	".woff": "font/woff",
	".woff2": "font/woff2",
	".ttf": "font/ttf",
};

const server = http.createServer((request, response) => {
	const file = fileFor(request);
	if (file) {
		sendFile(file, response);
	} else {
		passOn(request, response);
	}
});

server.on("upgrade", (request, socket, head) => {
	const behind = net.connect(socketioPort, "127.0.0.1", () => {
		behind.write(`${request.method} ${request.url} HTTP/1.1\r\n${headerLines(request)}\r\n\r\n`);
		behind.write(head);
		behind.pipe(socket).pipe(behind);
	});
	behind.on("error", () => socket.destroy());
	socket.on("error", () => behind.destroy());
});

server.listen(port, "127.0.0.1");

/** The file on disk that answers the request, or null when it is not for us. */
function fileFor(request) {
	const { pathname } = new URL(request.url, "http://front");
	const asked = decoded(pathname);
	// normalised before it is judged: "/assets/../x" must not leave the folder
	const clean = path.posix.normalize(asked);
	if (clean.startsWith("/assets/")) {
		return path.join(sites, clean);
	}
	if (clean.startsWith("/files/")) {
		const site = (request.headers.host || "").split(":")[0];
		return path.join(sites, path.basename(site), "public", clean);
	}
	return null;
}

function decoded(pathname) {
	try {
		return decodeURIComponent(pathname);
	} catch {
		return pathname;
	}
}

function sendFile(file, response) {
	const content = fs.createReadStream(file);
	content.on("open", () => {
		const type = TYPES[path.extname(file)] || "application/octet-stream";
		response.writeHead(200, { "Content-Type": type, "Cache-Control": "no-cache" });
		content.pipe(response);
	});
	content.on("error", () => response.writeHead(404).end());
}

function passOn(request, response) {
	const isRealtime = request.url.startsWith("/socket.io/");
	const headers = { ...request.headers, "x-forwarded-for": request.socket.remoteAddress };
	if (isRealtime) {
		// a browser leaves it out on its own host's pages, and Frappe's realtime server refuses those then
		headers.origin ??= `http://${request.headers.host}`;
	}
	const behind = http.request(
		{
			host: "127.0.0.1",
			port: isRealtime ? socketioPort : webPort,
			method: request.method,
			path: request.url,
			headers,
		},
		(answer) => {
			response.writeHead(answer.statusCode, answer.headers);
			answer.pipe(response);
		}
	);
	behind.on("error", () => {
		if (response.headersSent) {
			response.destroy();
		} else {
			response.writeHead(502, { "Content-Type": "text/plain" }).end("The bench is not up (502).\n");
		}
	});
	request.pipe(behind);
}

function headerLines(request) {
	const lines = [];
	for (let i = 0; i < request.rawHeaders.length; i += 2) {
		lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
	}
	return lines.join("\r\n");
}
