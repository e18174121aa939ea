// Finds the package archive in this machine's apt configuration: the one that serves the system, and how to trust it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run, SetupError } from "./command.mjs";

/**
 * @typedef {object} Source one entry of the configuration
 * @property {string} uri
 * @property {string[]} suites
 * @property {string[]} components
 * @property {Record<string, string>} options its other fields by their deb822 names, in lower case
 */

// Names of a suite besides its code name.
const CLASSES = ["oldstable", "stable", "testing", "unstable", "sid"];

/**
 * The archive that serves the system itself (not a vendor's repository, nor security updates), and the code name of the
 * distribution it belongs to.
 *
 * @returns {Promise<{ source: Source, distribution: string, codename: string }>}
 * @throws {SetupError} if there is none
 */
export async function systemArchive() {
  const { ID = "this system", VERSION_CODENAME = "", UBUNTU_CODENAME, DEBIAN_CODENAME } = osRelease();
  const codename = UBUNTU_CODENAME ?? DEBIAN_CODENAME ?? VERSION_CODENAME;
  const distribution = UBUNTU_CODENAME ? "ubuntu" : DEBIAN_CODENAME ? "debian" : ID;
  const sources = await configuredSources();
  // Vendors also name their suites like the system's; the address of the system's own archive usually ends in its name.
  const rank = (/** @type {Source} */ { uri, suites }) =>
    (new RegExp(`/${distribution}/*$`).test(uri) ? 2 : 0) + (suites.includes(codename) ? 1 : 0);
  const serving = sources.filter(
    ({ uri, suites, components }) =>
      !uri.startsWith("cdrom:") &&
      components.includes("main") &&
      suites.some((suite) => suite === codename || CLASSES.includes(suite)),
  );
  const [source] = serving.sort((a, b) => rank(b) - rank(a));
  if (source) return { source, distribution, codename };
  const found = `none of the ${sources.length} entries in apt's sources is one`;
  throw new SetupError(`expected an archive of ${distribution} ${codename} in apt's sources, but ${found}`);
}

/** All entries for binary packages, of one-line (.list) and deb822 (.sources) files. */
async function configuredSources() {
  const query = ["shell", "FILE", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"];
  const { stdout } = await run("apt-config", query);
  const value = (/** @type {string} */ name) => stdout.match(new RegExp(`^${name}='(.*)'$`, "m"))?.[1] ?? "";
  const parts = existsSync(value("PARTS")) ? readdirSync(value("PARTS")).sort() : [];
  return [value("FILE"), ...parts.map((name) => join(value("PARTS"), name))].flatMap((file) => {
    if (!existsSync(file)) return [];
    if (file.endsWith(".list")) return parseOneLine(readFileSync(file, "utf8"));
    return file.endsWith(".sources") ? parseDeb822(readFileSync(file, "utf8")) : [];
  });
}

/**
 * Lines like `deb [arch=amd64 signed-by=/path/key.gpg] URI suite component…`. Source: sources.list(5).
 * @param {string} text
 * @returns {Source[]}
 */
export function parseOneLine(text) {
  return text.split("\n").flatMap((line) => {
    const match = line.match(/^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)/);
    if (!match) return [];
    const [, bracket = "", uri, suite, components] = match;
    const pairs = [...bracket.matchAll(/(\S+?)=(\S+)/g)].map(([, key, value]) => [key.toLowerCase(), value]);
    return [{ uri, suites: [suite], components: words(components), options: Object.fromEntries(pairs) }];
  });
}

/**
 * Paragraphs of `Field: value`, where an indented line continues a value and # begins a comment line.
 * @param {string} text
 * @returns {Source[]}
 */
export function parseDeb822(text) {
  const paragraphs = text.replaceAll(/^#.*\n?/gm, "").split(/\n\s*\n/);
  return paragraphs.flatMap((paragraph) => {
    const fields = [...paragraph.matchAll(/^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)/gm)];
    const options = Object.fromEntries(
      fields.map(([, name, value]) => [name.toLowerCase(), value.trimEnd()]),
    );
    const { types = "", uris = "", suites = "", components = "", enabled = "yes", ...others } = options;
    if (!words(types).includes("deb") || /^(no|false|0|off)$/i.test(enabled)) return [];
    return words(uris).map((uri) => ({
      uri,
      suites: words(suites),
      components: words(components),
      options: others,
    }));
  });
}

/** @returns {Record<string, string>} the facts of os-release(5) */
function osRelease() {
  const file = ["/etc/os-release", "/usr/lib/os-release"].find((path) => existsSync(path));
  if (!file) return {};
  const lines = [...readFileSync(file, "utf8").matchAll(/^(\w+)="?(.*?)"?$/gm)];
  return Object.fromEntries(lines.map(([, name, value]) => [name, value]));
}

/** @param {string} text */
function words(text) {
  return text.split(/\s+/).filter(Boolean);
}
