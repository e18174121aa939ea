// Decides which process may write a run folder: the one named in the newest of its files lock-1.json, lock-2.json, …
//
// A process takes the lock by creating the next file, which only one process can, after the owner of the newest has released
// it or is known to be dead. No file that another process may hold is ever removed, and numbers only grow. A process on
// another machine cannot be checked, but a live owner rewrites its lock regularly; one that has not for long is dead.

import { randomUUID } from "node:crypto";
import { constants, existsSync } from "node:fs";
import { copyFile, link, readdir, readFile, rename, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DataError, UsageError } from "../support/errors.ts";
import { errorCode, fileError } from "./file-error.ts";
import { isRunning, type ProcessIdentity, thisProcess } from "./process-identity.ts";

/** Milliseconds between heartbeats of the owner. */
const HEARTBEAT = 30_000;
/** Milliseconds without a heartbeat after which an owner that cannot be checked counts as dead: ten missed, for slow file systems. */
export const SILENCE = 10 * HEARTBEAT;

const RELEASED = '{"released":true}\n';
const NAME = /^lock-(\d{1,9})\.json$/;
const CANDIDATE = "lock-candidate.";

export class RunLock {
  #folder: string;
  readonly #generation: number;
  readonly #content: string;
  readonly #heartbeat: NodeJS.Timeout;
  #beating: Promise<void> = Promise.resolve();
  #isLost = false;

  private constructor(folder: string, generation: number, content: string) {
    this.#folder = folder;
    this.#generation = generation;
    this.#content = content;
    this.#heartbeat = setInterval(() => {
      this.#beating = this.#beat();
    }, HEARTBEAT);
    this.#heartbeat.unref();
  }

  /**
   * Takes the lock of a folder.
   * @throws UsageError if another process holds it; DataError if writing fails
   */
  static async acquire(folder: string): Promise<RunLock> {
    const content = `${JSON.stringify(thisProcess())}\n`;
    const candidate = join(folder, `${CANDIDATE}${randomUUID()}.tmp`);
    try {
      await writeFile(candidate, content, { flag: "wx", flush: true });
      const before = await generations(folder);
      const newest = Math.max(0, ...before);
      if (newest > 0) await requireDead(folder, newest, candidate);
      const generation = newest + 1;
      await makeExclusively(candidate, pathOf(folder, generation));
      // Other locks may have come and gone in the meantime, so ours may fill a gap below a newer one.
      if (Math.max(...(await generations(folder))) > generation) {
        await unlink(pathOf(folder, generation));
        throw held(folder, "another process");
      }
      for (const old of before) await unlink(pathOf(folder, old)).catch(() => undefined);
      await removeOldCandidates(folder, candidate);
      return new RunLock(folder, generation, content);
    } catch (cause) {
      // EEXIST: another process was faster. ENOENT: it has finished in the meantime and cleaned up.
      if (errorCode(cause) === "EEXIST" || (errorCode(cause) === "ENOENT" && existsSync(folder)))
        throw held(folder, "another process");
      throw fileError(cause, "lock the run folder", folder);
    } finally {
      await unlink(candidate).catch(() => undefined);
    }
  }

  /** Updates the path after the folder has been renamed. */
  moved(folder: string): void {
    this.#folder = folder;
  }

  /** @throws DataError if another process has taken over the folder, because this one was silent for too long */
  async requireHeld(): Promise<void> {
    this.#isLost ||= (await newestOf(this.#folder)) !== this.#generation;
    this.requireNotLost();
  }

  /** As `requireHeld`, but from what is already known. A process that was suspended for long learns it at its next heartbeat. */
  requireNotLost(): void {
    if (!this.#isLost) return;
    throw new DataError(`${this.#folder}: another process has taken over this run, so this one stops`);
  }

  /** Releases the lock, so that another process can take the folder at once. */
  async release(): Promise<void> {
    await this.#stopBeating();
    // Another process's folder is not touched.
    if (
      !(await this.requireHeld().then(
        () => true,
        () => false,
      ))
    )
      return;
    const path = pathOf(this.#folder, this.#generation);
    // If this fails, the lock will expire.
    await writeFile(`${path}.tmp`, RELEASED)
      .then(() => rename(`${path}.tmp`, path))
      .catch(() => unlink(`${path}.tmp`))
      .catch(() => undefined);
  }

  /** Removes the lock of a folder that will not be written again. */
  async remove(): Promise<void> {
    await this.#stopBeating();
    await removeLocks(this.#folder).catch(() => undefined);
  }

  /** A heartbeat in progress must not write ownership into a released lock. */
  async #stopBeating(): Promise<void> {
    clearInterval(this.#heartbeat);
    await this.#beating;
  }

  /** Rewrites the same bytes; the file system's clock records when. */
  async #beat(): Promise<void> {
    const folder = this.#folder;
    try {
      await writeFile(pathOf(folder, this.#generation), this.#content, { flag: "r+" });
    } catch (cause) {
      if (errorCode(cause) !== "ENOENT") return;
      // A missing folder has just been renamed by this process.
      this.#isLost ||= await newestOf(folder).then(
        (newest) => newest !== this.#generation,
        () => false,
      );
    }
  }
}

/** Whether a process holds the folder, or may hold it. @throws DataError if it cannot be read */
export async function isLocked(folder: string): Promise<boolean> {
  const newest = await newestOf(folder);
  if (newest === 0) return false;
  const path = pathOf(folder, newest);
  const { running } = await stateOf(path);
  if (running !== "unknown") return running;
  const silence = await timeOf(folder).then(
    async (now) => now - (await stat(path)).mtimeMs,
    () => 0, // a lock that has vanished is being taken
  );
  return silence < SILENCE;
}

/** The present time by the clock of a folder's file system, ms. Clocks of two machines differ. */
export async function timeOf(folder: string): Promise<number> {
  const probe = join(folder, `${CANDIDATE}${randomUUID()}.tmp`);
  try {
    await writeFile(probe, "", { flag: "wx" });
    return (await stat(probe)).mtimeMs;
  } catch {
    return Date.now(); // this process cannot write the folder
  } finally {
    await unlink(probe).catch(() => undefined);
  }
}

/** Removes all locks and candidates from a folder that will not be written again. @throws DataError if that fails */
export async function removeLocks(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (!/^lock-\d+\.json(\.tmp)?$/.test(name) && !name.startsWith(CANDIDATE)) continue;
    await unlink(join(folder, name)).catch((cause) => {
      if (errorCode(cause) !== "ENOENT") throw fileError(cause, "unlock the run folder", folder);
    });
  }
}

/** Candidates of processes that were killed, and what a full disk has left of a released lock. */
async function removeOldCandidates(folder: string, own: string): Promise<void> {
  const now = (await stat(own)).mtimeMs;
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    if (!name.startsWith(CANDIDATE) && !/^lock-\d+\.json\.tmp$/.test(name)) continue;
    const written = await stat(path).catch(() => null);
    if (written && now - written.mtimeMs >= SILENCE) await unlink(path).catch(() => undefined);
  }
}

async function requireDead(folder: string, generation: number, probe: string): Promise<void> {
  const path = pathOf(folder, generation);
  const { running, who } = await stateOf(path);
  if (running === false) return;
  if (running === true) throw held(folder, who);
  // Both times are from the same file system, since clocks of two machines differ.
  const silence = (await stat(probe)).mtimeMs - (await stat(path)).mtimeMs;
  if (silence >= SILENCE) return;
  const seconds = Math.ceil((SILENCE - silence) / 1000);
  throw new UsageError(
    `run folder ${folder}: ${who} may still be using it; without a sign of life from it, the run can be resumed in ${seconds} s, or at once if you delete ${path}`,
  );
}

async function stateOf(path: string): Promise<{ running: boolean | "unknown"; who: string }> {
  const stranger = { running: "unknown", who: "an unknown process" } as const;
  try {
    const {
      released,
      host,
      pid,
      birth,
      space = null,
    } = JSON.parse(await readFile(path, "utf8")) as Partial<ProcessIdentity> & {
      released?: boolean;
    };
    if (released === true) return { running: false, who: "nobody" };
    if (typeof host !== "string" || typeof pid !== "number" || typeof birth !== "string") return stranger;
    return { running: isRunning({ host, pid, birth, space }), who: `process ${pid} on ${host}` };
  } catch {
    return stranger;
  }
}

/** The number of the newest lock; 0 if there is none. */
async function newestOf(folder: string): Promise<number> {
  return Math.max(0, ...(await generations(folder)));
}

/** The numbers of all locks in a folder. */
async function generations(folder: string): Promise<number[]> {
  return (await namesIn(folder)).flatMap((name) => name.match(NAME)?.[1] ?? []).map(Number);
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((cause) => {
    throw fileError(cause, "read", folder);
  });
}

/** Hard-links a complete file, or copies it if the file system has no hard links. */
async function makeExclusively(source: string, target: string): Promise<void> {
  try {
    await link(source, target);
  } catch (cause) {
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EINVAL"].includes(errorCode(cause) ?? "")) throw cause;
    await copyFile(source, target, constants.COPYFILE_EXCL);
  }
}

function pathOf(folder: string, generation: number): string {
  return join(folder, `lock-${generation}.json`);
}

function held(folder: string, who: string): UsageError {
  return new UsageError(`run folder ${folder}: in use by ${who}; wait for it to finish`);
}
