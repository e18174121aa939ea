// A lock between processes that work on the same checkout: a file with the process ids of its holder and of the
// holder's children, which the holder touches every second. If the processes died or the touches stopped, another takes it over.
import {
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimes,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const TOUCH_MS = 1000;
// A holder on another machine, or one whose process id is in use again, can only be recognized by its silence.
const SILENT_MS = 60_000;
const OWN = `${hostname()} ${process.pid}`;

/**
 * Runs `work` while holding the lock at `path`; waits for another holder first, and says so once.
 *
 * @template T
 * @param {string} path
 * @param {{ signal: AbortSignal, onWait: (holder: string) => void }} context
 * @param {(hold: (pid: number) => void) => Promise<T>} work `hold` keeps the lock for a child too, in case it lives longer
 * @returns {Promise<T>}
 */
export async function withLock(path, { signal, onWait }, work) {
  mkdirSync(dirname(path), { recursive: true });
  for (let waiting = false; !tryLock(path); waiting = true) {
    const holder = read(path);
    if (isStale(path, holder)) {
      takeAway(path, holder);
    } else {
      if (!waiting) onWait(holder.split(" ")[1] ?? "?");
      await sleep(200, undefined, { signal });
    }
  }
  const touch = setInterval(() => utimes(path, new Date(), new Date(), () => {}), TOUCH_MS);
  try {
    return await work((pid) => writeFileSync(path, `${OWN} ${pid}`));
  } finally {
    clearInterval(touch);
    rmSync(path, { force: true });
  }
}

/** @param {string} path */
function tryLock(path) {
  try {
    writeFileSync(path, OWN, { flag: "wx" });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  }
}

/**
 * @param {string} path
 * @param {string} holder
 */
function isStale(path, holder) {
  const [host, ...pids] = holder.split(" ");
  if (host === hostname() && !pids.some((pid) => isAlive(Number(pid)))) return true;
  const touched = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
  return Date.now() - touched > SILENT_MS;
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/**
 * Removes a stale lock, unless another process has already replaced it with its own.
 *
 * @param {string} path
 * @param {string} stale
 */
function takeAway(path, stale) {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
    if (read(aside) !== stale) linkSync(aside, path);
  } catch {
    // Another process removed it first: the next attempt to lock decides.
  }
  rmSync(aside, { force: true });
}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
