// Builds the page of `ghostbatch playground` with vite: node scripts/build-playground.mjs FOLDER
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const folder = process.argv[2];
if (!folder) throw new Error("expected the folder that the page is written to");

await build({
  root: fileURLToPath(new URL("../src/web", import.meta.url)),
  // Addresses relative to the page: a host can serve it from any path.
  base: "./",
  configFile: false,
  logLevel: "warn",
  build: {
    outDir: resolve(folder),
    emptyOutDir: true,
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
