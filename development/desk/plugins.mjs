/** What esbuild does not know by itself: HTML templates, Sass and Vue components. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

/** `import "./x.html"` puts the template into frappe.templates under the file's name. */
export function htmlTemplates() {
	return {
		name: "html-templates",
		setup(build) {
			build.onLoad({ filter: /\.html$/ }, ({ path: file }) => {
				const name = JSON.stringify(path.parse(file).name);
				// a template literal on purpose: the sources count on its escapes
				const text = fs.readFileSync(file, "utf8").replaceAll("`", "\\`");
				return { contents: `frappe.templates[${name}] = \`${text}\`;` };
			});
		},
	};
}

/** Sass leaves imports of plain style sheets as they are; esbuild inlines those. */
export function sassFiles(tools) {
	return {
		name: "sass-files",
		setup(build) {
			build.onLoad({ filter: /\.scss$/ }, ({ path: file }) => ({
				contents: compileSass(tools, fs.readFileSync(file, "utf8"), file),
				loader: "css",
				resolveDir: path.dirname(file),
			}));
		},
	};
}

function compileSass(tools, text, file) {
	const url = pathToFileURL(file);
	return tools.sass.compileString(text, {
		url,
		importer: { findFileUrl: (name) => findFileUrl(tools, name, url) },
		importers: [{ findFileUrl: (name) => findFileUrl(tools, name, url) }],
		loadPaths: [path.dirname(file), ...tools.nodePaths],
		logger: tools.sass.Logger.silent,
	}).css;
}

/** "~bootstrap/scss/mixins" lies in node_modules. Anything else is looked for beside the importing file. */
function findFileUrl(tools, name, importing) {
	return name.startsWith("~")
		? pathToFileURL(path.join(tools.nodeModules, name.slice(1)))
		: new URL(name, importing);
}

export function vueComponents(tools) {
	return {
		name: "vue-components",
		setup(build) {
			build.onLoad({ filter: /\.vue$/ }, async ({ path: file }) => {
				const component = parse(tools, file);
				const { code, isTypeScript } = compileScript(tools, component);
				const styles = await Promise.all(component.styles.map((style) => compileStyle(tools, component, style)));
				const contents = [
					code,
					...styles.map((text) => `frappe.dom.set_style(${JSON.stringify(text)});`),
					component.isScoped ? `component.__scopeId = ${JSON.stringify(component.scope)};` : "",
					"export default component;",
				].join("\n");
				return { contents, loader: isTypeScript ? "ts" : "js", resolveDir: path.dirname(file) };
			});
		},
	};
}

function parse(tools, file) {
	// an empty <script setup> still says which kind of component it is
	const { descriptor, errors } = tools.vue.parse(fs.readFileSync(file, "utf8"), { filename: file, ignoreEmpty: false });
	if (errors.length) {
		throw new Error(`${file}: ${errors[0].message}`);
	}
	const id = createHash("sha256").update(file).digest("hex").slice(0, 8);
	return {
		file,
		id,
		descriptor,
		scope: `data-v-${id}`,
		styles: descriptor.styles,
		isScoped: descriptor.styles.some((style) => style.scoped),
	};
}

/** Code that leaves the component, with its render function, in a variable `component`. */
function compileScript(tools, { descriptor, file, id, scope, isScoped }) {
	const { script, scriptSetup, template } = descriptor;
	const isTypeScript = [script, scriptSetup].some((part) => part?.lang === "ts");
	const compiled =
		script || scriptSetup
			? tools.vue.compileScript(descriptor, {
					id,
					genDefaultAs: "component",
					inlineTemplate: Boolean(scriptSetup),
					templateOptions: { compilerOptions: { scopeId: isScoped ? scope : undefined } },
				})
			: { content: "const component = {};", bindings: {} };
	if (scriptSetup || !template) {
		return { code: compiled.content, isTypeScript };
	}
	const { code, errors } = tools.vue.compileTemplate({
		source: template.content,
		filename: file,
		id,
		scoped: isScoped,
		compilerOptions: { bindingMetadata: compiled.bindings, scopeId: isScoped ? scope : undefined },
	});
	if (errors.length) {
		throw new Error(`${file}: ${errors[0].message || errors[0]}`);
	}
	const render = code.replace("export function render", "function render");
	return { code: `${compiled.content}\n${render}\ncomponent.render = render;`, isTypeScript };
}

/** Sass first, then esbuild to inline what it imports, and the scope last. */
async function compileStyle(tools, { file, scope }, style) {
	const plain = style.lang === "scss" ? compileSass(tools, style.content, file) : style.content;
	const bundled = await tools.esbuild.build({
		stdin: { contents: plain, loader: "css", resolveDir: path.dirname(file) },
		bundle: true,
		write: false,
		logLevel: "error",
		nodePaths: tools.nodePaths,
		external: ["/assets/*"],
	});
	const source = bundled.outputFiles[0].text;
	return tools.vue.compileStyle({ source, filename: file, id: scope, scoped: style.scoped }).code;
}
