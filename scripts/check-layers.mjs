// The layers of src/, lowest first: a file may import from its own folder and from every folder of an earlier line. Folders
// on one line do not know each other. Prints every import that goes another way, and every folder that the list does not have.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const LAYERS = [
  // What everything may use, and what checks it independently.
  ["support", "reference"],
  ["cases"],
  // The engine, without a host.
  ["gpu"],
  ["tensor"],
  ["kernels"],
  ["ops", "data"],
  ["nn"],
  ["models"],
  ["train"],
  // Hosts and files.
  ["storage"],
  ["host", "datasets", "report"],
  // Runs, and what is made of them.
  ["run"],
  ["measure", "sweep"],
  ["paper"],
  ["bench", "verify"],
  ["cli"],
];
/** What each of these imports, and nothing else: a reference that used the code it checks would check nothing. */
const INDEPENDENT = { reference: [], cases: ["reference"], support: [] };

const SOURCE = resolve(fileURLToPath(new URL("../src", import.meta.url)));
const level = new Map(LAYERS.flatMap((folders, index) => folders.map((folder) => [folder, index])));

const complaints = [];
for (const file of readdirSync(SOURCE, { recursive: true, encoding: "utf8" })) {
  if (!file.endsWith(".ts") || !file.includes("/")) continue; // src/index.ts and src/node.ts are the package's entries
  const from = folderOf(file);
  if (!level.has(from)) complaints.push(`src/${file}: its folder is not in the list of layers`);
  for (const [, specifier] of readFileSync(join(SOURCE, file), "utf8").matchAll(
    /(?:from|import\()\s*"(\.[^"]+)"/g,
  )) {
    const to = folderOf(normalize(join(dirname(file), specifier)));
    if (to !== from && level.has(to) && level.has(from) && !mayImport(from, to)) {
      complaints.push(`src/${file}: imports ${specifier}: ${from} is not above ${to}`);
    }
  }
}
for (const complaint of complaints) console.error(complaint);
if (complaints.length > 0) process.exitCode = 1;

/** @param {string} path within src/ */
function folderOf(path) {
  return path.split("/")[0];
}

/**
 * @param {string} from
 * @param {string} to
 */
function mayImport(from, to) {
  const allowed = /** @type {Record<string, string[]>} */ (INDEPENDENT)[from];
  return allowed ? allowed.includes(to) : Number(level.get(to)) < Number(level.get(from));
}
