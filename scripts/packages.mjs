// The packages of package-lock.json in node_modules.
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { run } from "./command.mjs";

/**
 * @typedef {object} LockEntry
 * @property {string} [version]
 * @property {string} [integrity]
 * @property {boolean} [optional]
 * @property {boolean} [devOptional]
 * @property {string[]} [os]
 * @property {string[]} [cpu]
 * @property {string[]} [libc]
 */

/**
 * Whether node_modules has what package-lock.json names. npm's own list of what it installed is the last file that it writes.
 * @param {string} root
 */
export function packagesAreCurrent(root) {
  const record = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(record)) return false;
  const installed = lockEntries(record);
  return Object.entries(lockEntries(join(root, "package-lock.json"))).every(([path, wanted]) => {
    const found = installed[path];
    if (found) return found.version === wanted.version && found.integrity === wanted.integrity;
    return path === "" || !isNeededHere(wanted);
  });
}

/**
 * Installs them again, exactly as the lock file says.
 * @param {string} root
 * @param {{ signal: AbortSignal, onStart: (pid: number) => void }} context
 */
export async function installPackages(root, context) {
  const args = ["ci", "--include=dev", "--include=optional", "--no-audit", "--no-fund", "--loglevel=error"];
  const npm = process.env.npm_execpath ?? "";
  if (basename(npm) === "npm-cli.js") await run(process.execPath, [npm, ...args], { cwd: root, ...context });
  // On Windows npm is a .cmd file, which only a shell can start.
  else await run("npm", args, { cwd: root, ...context, shell: process.platform === "win32" });
}

/**
 * @param {string} file
 * @returns {Record<string, LockEntry>}
 */
function lockEntries(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages ?? {};
  } catch {
    return {};
  }
}

/**
 * An optional package is needed if it names a system and a processor that are this machine's; npm omits the others.
 * (Those that also name a C library come in pairs, of which npm omits one.)
 * @param {LockEntry} entry
 */
function isNeededHere({ optional, devOptional, os, cpu, libc }) {
  if (!optional && !devOptional) return true;
  return Boolean(os && cpu && !libc && os.includes(process.platform) && cpu.includes(process.arch));
}
