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
  // Addresses relative to the page: a host can serve it from any path.
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

/** A module of Node, or one that only Node's side needs, would be bundled as an empty one: it is an error instead. */
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

/** `FILE.wgsl?bare`: the text of a shader without its comments, but for those with a meaning; lines stay where they are. */
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
