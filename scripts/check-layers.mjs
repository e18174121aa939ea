// The layers of src/, lowest first: a file may import from its own folder and from every folder of an earlier line. Folders
// on one line do not import each other. Prints every import that breaks this order, every folder that is missing from the list, and
// every cycle of files, counting imports of types too.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const LAYERS = [
  // Code that everything may use, and code that checks it independently.
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
  // Runs, and what uses them.
  ["run"],
  ["measure", "sweep"],
  ["paper"],
  ["bench", "verify"],
  ["cli", "web"],
];
/** The only imports that these may have: a reference that used the code it checks would check nothing. */
const INDEPENDENT = { reference: [], cases: ["reference"], support: [] };

const SOURCE = resolve(fileURLToPath(new URL("../src", import.meta.url)));
const level = new Map(LAYERS.flatMap((folders, index) => folders.map((folder) => [folder, index])));

/** @type {Map<string, string[]>} file → the files of src/ that it imports */
const imports = new Map();
for (const file of readdirSync(SOURCE, { recursive: true, encoding: "utf8" })) {
  if (file.endsWith(".ts")) imports.set(file, importsOf(file));
}
const complaints = [...imports].flatMap(([file, targets]) => wrongWays(file, targets));
const circle = findCircle();
if (circle !== null) complaints.push(`circle of imports: ${circle.map((file) => `src/${file}`).join(" → ")}`);
for (const complaint of complaints) console.error(complaint);
if (complaints.length > 0) process.exitCode = 1;

/** @param {string} file */
function importsOf(file) {
  const text = readFileSync(join(SOURCE, file), "utf8");
  const specifiers = [...text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)].map((match) => String(match[1]));
  return specifiers.map((specifier) => normalize(join(dirname(file), specifier)));
}

/**
 * @param {string} file
 * @param {string[]} targets
 */
function wrongWays(file, targets) {
  if (!file.includes("/")) return []; // src/index.ts and src/node.ts are the package's entries
  const from = folderOf(file);
  if (!level.has(from)) return [`src/${file}: its folder is not in the list of layers`];
  return targets
    .filter(
      (target) =>
        level.has(folderOf(target)) && folderOf(target) !== from && !mayImport(from, folderOf(target)),
    )
    .map((target) => `src/${file}: imports src/${target}: ${from} is not above ${folderOf(target)}`);
}

/** A cycle of files, with its first file repeated at the end, or null. */
function findCircle() {
  /** @type {Set<string>} */
  const done = new Set();
  /** @type {string[]} */
  const path = [];
  /**
   * @param {string} file
   * @returns {string[] | null}
   */
  const visit = (file) => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return null;
    path.push(file);
    for (const target of imports.get(file) ?? []) {
      const found = visit(target);
      if (found !== null) return found;
    }
    path.pop();
    done.add(file);
    return null;
  };
  for (const file of imports.keys()) {
    const found = visit(file);
    if (found !== null) return found;
  }
  return null;
}

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
