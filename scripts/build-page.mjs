// Builds a page of src/web with vite: node scripts/build-page.mjs playground|watch FOLDER
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

/** @type {Record<string, string>} */
const PAGES = { playground: "index.html", watch: "watch.html" };
const [name = "", folder] = process.argv.slice(2);
const page = PAGES[name];
if (!page || !folder) throw new Error("expected playground or watch, and the folder that it is written to");
const root = fileURLToPath(new URL("../src/web", import.meta.url));

await build({
  root,
  // Addresses are relative to the page, so that a host can serve it from any path.
  base: "./",
  configFile: false,
  logLevel: "warn",
  build: {
    outDir: resolve(folder),
    emptyOutDir: true,
    rollupOptions: { input: join(root, page) },
    target: "es2023",
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: "es", plugins: () => [refuseNode(), bareShaders()] },
  plugins: [refuseNode(), bareShaders()],
});

/** Reports an error for a module of Node, or one that only Node code needs, which would otherwise be bundled as an empty module. */
function refuseNode() {
  return {
    name: "refuse-node",
    enforce: /** @type {const} */ ("pre"),
    resolveId(/** @type {string} */ id, /** @type {string | undefined} */ importer) {
      if (/^(node:|zod$|webgpu$)/.test(id))
        throw new Error(`${importer}: imports ${id}, which a page cannot have`);
      return null;
    },
  };
}

/** `FILE.wgsl?bare`: the text of a shader without its comments, except those with a meaning; line numbers do not change. */
function bareShaders() {
  const suffix = "?bare";
  return {
    name: "bare-shaders",
    enforce: /** @type {const} */ ("pre"),
    load(/** @type {string} */ id) {
      if (!id.endsWith(`.wgsl${suffix}`)) return null;
      const text = readFileSync(id.slice(0, -suffix.length), "utf8");
      return `export default ${JSON.stringify(text.replaceAll(/[ \t]*\/\/(?!\s*@).*$/gm, ""))}`;
    },
  };
}
