/**
 * Names below .localhost lead to this machine (RFC 6761), but not every resolver knows. Frappe's realtime server asks
 * the site by its name, so `node --require` this.
 */
"use strict";

const dns = require("node:dns");

const { lookup } = dns;

dns.lookup = (name, options, callback) => {
	const isHere = typeof name === "string" && name.endsWith(".localhost");
	return lookup(isHere ? "127.0.0.1" : name, options, callback);
};
