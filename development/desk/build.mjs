/**
 * Build Desk's bundles of some apps, for a Frappe that came without its own build tools. As Frappe's own build in
 * production: minified, and Vue without its compiler, as the templates are compiled here.
 *
 * Usage: node build.mjs BENCH_FOLDER APP…
 *
 * Every *.bundle.{js,ts,css,scss} below an app's public folder becomes one hashed file in public/dist, listed in
 * sites/assets/assets.json; style sheets get a mirrored twin for languages written from right to left.
 */
import fs from "node:fs";
import path from "node:path";
import { loadTools } from "./tools.mjs";
import { htmlTemplates, sassFiles, vueComponents } from "./plugins.mjs";

const BUNDLE = /\.bundle\.(js|ts|css|scss)$/;

const [bench, ...apps] = process.argv.slice(2);
const tools = loadTools(bench);

for (const app of apps) {
	const publicFolder = path.join(bench, "apps", app, app, "public");
	if (fs.existsSync(publicFolder)) {
		list(app, await buildApp(app, publicFolder));
	}
}

/** Returns what was built: {"desk.bundle.js": "/assets/frappe/dist/js/desk.bundle.HASH.js", …} */
async function buildApp(app, publicFolder) {
	const entries = findBundles(publicFolder);
	const dist = path.join(publicFolder, "dist");
	removeListed(app);
	if (!entries.length) {
		return {};
	}
	const result = await tools.esbuild.build(options(app, entries, dist));
	return outputsByName(app, dist, result.metafile);
}

/** Delete what this bench built before. Others of the same checkout may have built into the same folder. */
function removeListed(app) {
	for (const file of ["assets.json", "assets-rtl.json"]) {
		for (const url of Object.values(readList(file)).filter((url) => url.startsWith(`/assets/${app}/`))) {
			fs.rmSync(path.join(bench, "sites", url), { force: true });
			fs.rmSync(path.join(bench, "sites", `${url}.map`), { force: true });
		}
	}
}

function readList(file) {
	const place = path.join(bench, "sites", "assets", file);
	return fs.existsSync(place) ? JSON.parse(fs.readFileSync(place, "utf8")) : {};
}

function findBundles(folder) {
	return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
		const place = path.join(folder, entry.name);
		if (entry.isDirectory()) {
			return ["dist", "node_modules"].includes(entry.name) ? [] : findBundles(place);
		}
		return BUNDLE.test(entry.name) ? [place] : [];
	});
}

function options(app, entries, dist) {
	return {
		entryPoints: entries.map((entry) => ({ in: entry, out: outputName(entry) })),
		outdir: dist,
		entryNames: "[dir]/[name].[hash]",
		assetNames: "media/[name].[hash]",
		publicPath: `/assets/${app}/dist`,
		bundle: true,
		format: "iife",
		target: "es2017",
		sourcemap: true,
		minify: true,
		metafile: true,
		logLevel: "error",
		nodePaths: tools.nodePaths,
		// served as they are, not part of a bundle
		external: ["/assets/*", "/files/*"],
		define: {
			"process.env.NODE_ENV": '"production"',
			__VUE_OPTIONS_API__: "true",
			__VUE_PROD_DEVTOOLS__: "false",
		},
		loader: Object.fromEntries(
			[".png", ".jpg", ".gif", ".svg", ".woff", ".woff2", ".ttf", ".eot", ".otf"].map((type) => [type, "file"])
		),
		plugins: [htmlTemplates(), sassFiles(tools), vueComponents(tools)],
	};
}

/** js/desk.bundle or css/desk.bundle: bundles are known by their last name, wherever they lie. */
function outputName(entry) {
	const { name, ext } = path.parse(entry);
	return `${ext === ".js" || ext === ".ts" ? "js" : "css"}/${name}`;
}

function outputsByName(app, dist, metafile) {
	const built = {};
	for (const [output, { entryPoint }] of Object.entries(metafile.outputs)) {
		if (!entryPoint || output.endsWith(".map")) {
			continue;
		}
		const { name, ext } = path.parse(entryPoint);
		const kind = ext === ".js" || ext === ".ts" ? "js" : "css";
		const file = path.relative(dist, path.resolve(output));
		built[`${name}.${kind}`] = `/assets/${app}/dist/${file}`;
		if (kind === "css") {
			built[`rtl_${name}.css`] = `/assets/${app}/dist/${mirror(dist, file)}`;
		}
	}
	return built;
}

function mirror(dist, file) {
	const mirrored = file.replace(/^css/, "css-rtl");
	fs.mkdirSync(path.dirname(path.join(dist, mirrored)), { recursive: true });
	const styles = fs.readFileSync(path.join(dist, file), "utf8");
	fs.writeFileSync(path.join(dist, mirrored), tools.rtlcss.process(styles));
	return mirrored;
}

/** Replace this app's lines in the two lists; other apps' stay. */
function list(app, built) {
	for (const [file, isOurs] of [
		["assets.json", (name) => !name.startsWith("rtl_")],
		["assets-rtl.json", (name) => name.startsWith("rtl_")],
	]) {
		const place = path.join(bench, "sites", "assets", file);
		const others = Object.entries(readList(file)).filter(([, url]) => !url.startsWith(`/assets/${app}/`));
		const own = Object.entries(built).filter(([name]) => isOurs(name));
		fs.writeFileSync(place, JSON.stringify(Object.fromEntries([...others, ...own]), null, 1) + "\n");
	}
}
