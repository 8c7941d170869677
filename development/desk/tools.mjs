/** The packages the build is made with. They lie in the bench, beside Frappe's sources, not beside this script. */
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

export function loadTools(bench) {
	const frappe = path.join(bench, "apps", "frappe");
	const require = createRequire(path.join(frappe, "package.json"));
	const nodeModules = path.join(frappe, "node_modules");
	const apps = fs.readdirSync(path.join(bench, "apps")).map((app) => path.join(bench, "apps", app));
	return {
		nodeModules,
		// "frappe/public/css/x.css" is found in apps/frappe, a package in node_modules
		nodePaths: [nodeModules, ...apps],
		esbuild: require("esbuild"),
		sass: require("sass"),
		rtlcss: require("rtlcss"),
		vue: require("vue/compiler-sfc"),
	};
}
