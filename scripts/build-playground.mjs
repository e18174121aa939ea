// Builds the page of `ghostbatch playground` with vite: node scripts/build-playground.mjs FOLDER
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
  worker: { format: "es", plugins: () => [refuseNode()] },
  plugins: [refuseNode()],
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
