// Downloads a file completely or not at all. Partial data is kept beside it as NAME.part, so that an interrupted transfer
// continues where it stopped, in this process or a later one. Only a complete file with the right checksum gets
// its final name.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, readFile, rename, rm, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { writeFileAtomically } from "../storage/atomic-file.ts";
import { fileError } from "../storage/file-error.ts";
import { DataError, GhostbatchError, messageOf } from "../support/errors.ts";
import { formatBytes } from "../support/format.ts";

export interface Transfer {
  /** Bytes received, including those of earlier attempts. */
  readonly bytes: number;
  /** Size of the file in bytes; null until the server reports it. */
  readonly total: number | null;
}

export interface DownloadOptions {
  readonly url: string;
  readonly path: string;
  /** SHA-256 of the complete file, in hexadecimal; null accepts any. */
  readonly sha256: string | null;
  readonly onProgress?: ((transfer: Transfer) => void) | undefined;
  /** Consecutive attempts without any data before giving up. Default 5. */
  readonly attempts?: number;
  /** Seconds without data after which an attempt is aborted. Default 60. */
  readonly stallSeconds?: number;
  /** Seconds before the second attempt, doubled for each later one. Default 1. */
  readonly retrySeconds?: number;
}

/** A failure that may not occur on another attempt. */
class Interruption extends Error {}

/**
 * Fetches a file over HTTP, continuing from what an earlier attempt has left.
 * @throws DataError if the server refuses, the transfer keeps failing (the data is kept), the checksum differs
 *   (the data is deleted), or writing fails
 */
export async function download(options: DownloadOptions): Promise<void> {
  const { url, path, sha256, attempts = 5, retrySeconds = 1 } = options;
  const part = new PartialFile(path, url);
  let failures = 0;
  for (let done = false; !done; ) {
    const before = await part.size();
    try {
      await transfer(part, options);
      done = true;
    } catch (cause) {
      if (!(cause instanceof Interruption)) throw fileError(cause, "write", part.path);
      const arrived = await part.size();
      failures = arrived > before ? 1 : failures + 1;
      const offline = arrived === 0 && cause.message.includes("ENOTFOUND");
      if (offline || failures >= attempts) throw brokenOff(options, part.path, arrived, cause);
      await sleep(1000 * retrySeconds * 2 ** (failures - 1));
    }
  }
  if (sha256 !== null) await requireSha256(part.path, sha256, { shownAs: url, onWrong: () => part.remove() });
  await part.finish();
}

/**
 * @param options.shownAs name of the file in the message, if its path would not help
 * @throws DataError if the file has another checksum, after `onWrong`
 */
export async function requireSha256(
  path: string,
  expected: string,
  { shownAs = path, onWrong }: { shownAs?: string; onWrong?: () => Promise<void> } = {},
): Promise<void> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk);
  } catch (cause) {
    throw fileError(cause, "read", path);
  }
  const found = hash.digest("hex");
  if (found === expected.toLowerCase()) return;
  await onWrong?.();
  throw new DataError(
    `${shownAs}: expected SHA-256 ${expected}, found ${found}: the file is damaged or not the expected one` +
      `${onWrong ? " and was deleted, so the next try starts over" : ""} (--sha256 none accepts it anyway)`,
  );
}

/** NAME.part, and NAME.part.json with its origin. */
class PartialFile {
  readonly path: string;
  readonly #whole: string;
  readonly #record: string;
  readonly #url: string;

  constructor(whole: string, url: string) {
    this.#whole = whole;
    this.path = `${whole}.part`;
    this.#record = `${whole}.part.json`;
    this.#url = url;
  }

  async size(): Promise<number> {
    return (await stat(this.path).catch(() => null))?.size ?? 0;
  }

  /** The server's tag for this version of the file; null if it comes from elsewhere or is unknown. */
  async validator(): Promise<string | null> {
    try {
      const { url, validator } = JSON.parse(await readFile(this.#record, "utf8")) as Record<string, unknown>;
      return url === this.#url && typeof validator === "string" ? validator : null;
    } catch {
      return null;
    }
  }

  async begin(validator: string | null): Promise<void> {
    await rm(this.path, { force: true });
    await writeFileAtomically(this.#record, JSON.stringify({ url: this.#url, validator }));
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
    await rm(this.#record, { force: true });
  }

  async finish(): Promise<void> {
    await rename(this.path, this.#whole).catch((cause) => {
      throw fileError(cause, "write", this.#whole);
    });
    await rm(this.#record, { force: true });
  }
}

async function transfer(part: PartialFile, options: DownloadOptions): Promise<void> {
  const { url, sha256, onProgress, stallSeconds = 60 } = options;
  const validator = await part.validator();
  // Partial data may belong to another version of the file. The server's tag shows that, or the checksum.
  if (validator === null && sha256 === null) await part.remove();
  const offset = await part.size();
  const stalled = new Stall(stallSeconds);
  try {
    const headers: Record<string, string> = {
      "accept-encoding": "identity", // compressed in transfer, it would have another length
      ...(offset > 0 && { range: `bytes=${offset}-` }),
      ...(offset > 0 && validator !== null && { "if-range": validator }),
    };
    const response = await fetch(url, { headers, signal: stalled.signal });
    const { start, total } = await placeOf(response, { url, offset, part });
    if (start === total && start > 0) return void (await response.body?.cancel());
    if (start === 0) await part.begin(validatorOf(response));
    stalled.reset(); // the time of writing does not count as the server's silence
    const end = await append(part.path, response, (bytes) => {
      stalled.reset();
      onProgress?.({ bytes: start + bytes, total });
    });
    if (total !== null && start + end < total) throw new Interruption("the connection closed too early");
    if (total !== null && start + end > total) {
      await part.remove();
      throw new Interruption("the server sent more bytes than it announced");
    }
  } catch (cause) {
    if (cause instanceof GhostbatchError || cause instanceof Interruption) throw cause;
    if (cause instanceof Error && "syscall" in cause) throw cause; // from the disk: fetch wraps its own errors
    throw new Interruption(stalled.reason ?? reasonOf(cause), { cause });
  } finally {
    stalled.end();
  }
}

/** Where in the file the body of a response starts, and how long the file is. */
async function placeOf(
  response: Response,
  { url, offset, part }: { url: string; offset: number; part: PartialFile },
): Promise<{ start: number; total: number | null }> {
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  if (response.status === 200) {
    const length = Number(response.headers.get("content-length") ?? Number.NaN);
    return { start: 0, total: Number.isSafeInteger(length) ? length : null };
  }
  if (response.status === 206 && range && Number(range[1]) === offset) {
    return { start: offset, total: range[2] === "*" ? null : Number(range[2]) };
  }
  await response.body?.cancel();
  // Nothing remains to fetch: the data is complete, or longer than the file and useless.
  if (response.status === 416 && Number(range?.[2]) === offset) return { start: offset, total: offset };
  const what = `the server answered ${response.status} ${response.statusText}`.trimEnd();
  if (response.status === 416 || response.status === 206) {
    await part.remove();
    throw new Interruption(`${what} for a different range than requested`);
  }
  const mayPass = response.status >= 500 || response.status === 429 || response.status === 408;
  if (mayPass) throw new Interruption(what);
  throw new DataError(`${url}: ${what}; name another address, a folder or an archive with --from`);
}

/** A strong validator of the file's version, for If-Range. */
function validatorOf({ headers }: Response): string | null {
  const etag = headers.get("etag");
  return etag !== null && !etag.startsWith("W/") ? etag : headers.get("last-modified");
}

/** Appends a body to a file. @returns the bytes appended */
async function append(path: string, { body }: Response, onBytes: (bytes: number) => void): Promise<number> {
  let file: FileHandle | undefined;
  let done = 0;
  try {
    file = await open(path, "a");
    for await (const chunk of body ?? []) {
      await file.appendFile(chunk);
      done += chunk.length;
      onBytes(done);
    }
    await file.sync();
  } finally {
    await file?.close();
  }
  return done;
}

function brokenOff({ url }: DownloadOptions, part: string, arrived: number, cause: Interruption): DataError {
  const kept =
    arrived > 0
      ? `${formatBytes(arrived)} have arrived and are kept in ${part}; the same command continues from there`
      : "nothing has arrived; without a network, name a folder or an archive with --from";
  return new DataError(`${url}: ${cause.message}; ${kept}`, { cause });
}

/** fetch reports only "fetch failed", with the reason as its cause. */
function reasonOf(thrown: unknown): string {
  const cause = thrown instanceof Error && thrown.cause !== undefined ? thrown.cause : thrown;
  return messageOf(cause) || String((cause as { code?: string }).code ?? "the transfer failed");
}

/** Aborts a request that has received nothing for a while. */
class Stall {
  readonly #controller = new AbortController();
  readonly #seconds: number;
  #timer: NodeJS.Timeout;
  reason: string | null = null;

  constructor(seconds: number) {
    this.#seconds = seconds;
    this.#timer = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #start(): NodeJS.Timeout {
    return setTimeout(() => {
      this.reason = `no data for ${this.#seconds} s`;
      this.#controller.abort();
    }, 1000 * this.#seconds);
  }
}
