// runs/<name>/checkpoints/: what a run goes on from.
//
//   last-<step>.safetensors   the state after <step> steps, the newest few of them
//   best-<step>.safetensors   the weights of the best evaluation, in PyTorch's names and layouts
//   <either>.json             what belongs to the tensors, and the SHA-256 of both; written last, so a checkpoint
//                             exists when, and only when, its JSON does

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { DataError, GhostbatchError, messageOf } from "../support/errors.ts";
import { syncFolder, writeFileAtomically } from "./atomic-file.ts";
import { errorCode, fileError } from "./file-error.ts";
import { encodeSafetensors, readSafetensors, type StoredTensor, type TensorToStore } from "./safetensors.ts";

export type CheckpointKind = "last" | "best";

/** Which checkpoint: the steps done when it was taken. */
export interface CheckpointName {
  readonly kind: CheckpointKind;
  readonly step: number;
}

export interface StoredCheckpoint {
  readonly step: number;
  /** Path of its tensors. */
  readonly path: string;
  /** What `write` was given, unchecked but for its checksum. */
  readonly content: unknown;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** Bytes hashed and written at a time: the event loop, which feeds the GPU, is held up for about a millisecond. */
const CHUNK = 2 ** 20;
const NAME = /^(last|best)-(\d{1,15})\.json$/;

export class CheckpointFolder {
  readonly path: string;

  /** @param runFolder the run's own folder */
  constructor(runFolder: string) {
    this.path = join(runFolder, "checkpoints");
  }

  /** Every complete checkpoint of a kind, the newest first. None where there is no such folder. */
  async list(kind: CheckpointKind): Promise<CheckpointName[]> {
    const found = (await this.#names()).flatMap((name) => {
      const [, foundKind, step] = name.match(NAME) ?? [];
      return foundKind === kind ? [{ kind, step: Number(step) }] : [];
    });
    return found.sort((a, b) => b.step - a.step);
  }

  /**
   * Writes a checkpoint: tensors, then JSON, each whole or not at all, and on the disk when this resolves.
   * @param content plain JSON
   * @throws DataError when the disk refuses; what was there before is untouched
   */
  async write(
    name: CheckpointName,
    tensors: Iterable<readonly [string, TensorToStore]>,
    content: object,
  ): Promise<void> {
    await mkdir(this.path, { recursive: true }).catch((cause) => {
      throw fileError(cause, "create", this.path);
    });
    const hash = createHash("sha256");
    await writeFileAtomically(this.#file(name, "safetensors"), hashed(encodeSafetensors(tensors), hash));
    const body = { ...content, tensors: hash.digest("hex") };
    const record = { checksum: sha256(JSON.stringify(body)), checkpoint: body };
    await writeFileAtomically(this.#file(name, "json"), `${JSON.stringify(record, null, 1)}\n`);
  }

  /** @throws DataError naming the file that is missing or damaged */
  async read(name: CheckpointName): Promise<StoredCheckpoint> {
    const path = this.#file(name, "json");
    const { tensors: expected, ...content } = checkedBody(await readText(path), path);
    const file = this.#file(name, "safetensors");
    if ((await fileSha256(file)) !== expected) {
      throw new DataError(`${file}: damaged: its SHA-256 is not the one in ${path}`);
    }
    return { step: name.step, path: file, content, tensors: (await readSafetensors(file)).tensors };
  }

  /**
   * The newest checkpoint that is whole and that `accept` takes; null where none was ever written.
   * @param report is told of each damaged one that is passed over
   * @param accept throws DataError for one that cannot be used
   * @throws DataError naming all files when none can be used
   */
  async newestWhole<T>(
    accept: (checkpoint: StoredCheckpoint) => T,
    { report, before = Number.POSITIVE_INFINITY }: { report: (line: string) => void; before?: number },
  ): Promise<T | null> {
    const candidates = (await this.list("last")).filter(({ step }) => step < before);
    for (const [index, name] of candidates.entries()) {
      try {
        return accept(await this.read(name));
      } catch (error) {
        if (!(error instanceof GhostbatchError)) throw error;
        const next = candidates[index + 1];
        if (next) report(`${messageOf(error)}: using the checkpoint before it, of step ${next.step}`);
        else if (candidates.length === 1)
          throw new DataError(`no checkpoint can be used: ${messageOf(error)}`, { cause: error });
      }
    }
    if (candidates.length === 0) return null;
    const files = candidates.map((name) => this.#file(name, "json")).join(", ");
    throw new DataError(`no checkpoint can be used, all are damaged: ${files}`);
  }

  /** Removes every checkpoint that is not kept, JSON first. */
  async prune(kept: readonly CheckpointName[]): Promise<void> {
    const wanted = new Set(kept.map(baseName));
    for (const name of [...(await this.list("last")), ...(await this.list("best"))]) {
      if (wanted.has(baseName(name))) continue;
      await this.#remove(`${baseName(name)}.json`);
      await this.#remove(`${baseName(name)}.safetensors`);
    }
  }

  /** Removes all but the best: the run has its outcome. */
  async keepBest(): Promise<void> {
    await this.prune((await this.list("best")).slice(0, 1));
  }

  /** Removes what a process that was killed while it wrote has left: to be called when no other process writes. */
  async sweep(): Promise<void> {
    const names = await this.#names();
    const complete = new Set(
      names.filter((name) => NAME.test(name)).map((name) => name.replace(/\.json$/, "")),
    );
    for (const name of names) {
      const [base] = name.split(".");
      const orphan = /^(last|best)-\d+\.safetensors$/.test(name) && !complete.has(base!);
      if (orphan || /^(last|best)-\d+\.(safetensors|json)\.[\d-]+\.tmp$/.test(name)) await this.#remove(name);
    }
    if (names.length > 0) await syncFolder(this.path);
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.path);
    } catch (cause) {
      if (errorCode(cause) === "ENOENT") return [];
      throw fileError(cause, "read", this.path);
    }
  }

  async #remove(name: string): Promise<void> {
    const path = join(this.path, name);
    await unlink(path).catch((cause) => {
      if (errorCode(cause) !== "ENOENT") throw fileError(cause, "delete", path);
    });
  }

  #file(name: CheckpointName, extension: "safetensors" | "json"): string {
    return join(this.path, `${baseName(name)}.${extension}`);
  }
}

function baseName({ kind, step }: CheckpointName): string {
  return `${kind}-${step}`;
}

/** The same bytes in small pieces, each hashed when it is taken. */
function* hashed(
  pieces: readonly Uint8Array[],
  hash: { update(bytes: Uint8Array): unknown },
): Generator<Uint8Array> {
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += CHUNK) {
      const chunk = piece.subarray(at, at + CHUNK);
      hash.update(chunk);
      yield chunk;
    }
  }
}

function checkedBody(text: string, path: string): Record<string, unknown> & { tensors: unknown } {
  let record: { checksum?: unknown; checkpoint?: unknown } | null;
  try {
    record = JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${path}: damaged: ${messageOf(cause)}`, { cause });
  }
  const body = record?.checkpoint;
  if (typeof body !== "object" || body === null || sha256(JSON.stringify(body)) !== record?.checksum) {
    throw new DataError(`${path}: damaged: its content is not that of its checksum`);
  }
  return body as Record<string, unknown> & { tensors: unknown };
}

async function readText(path: string): Promise<string> {
  try {
    // Some kilobytes, and a list of evaluations; far more is not a checkpoint's.
    if ((await stat(path)).size > 64 * 2 ** 20) throw new DataError(`${path}: damaged: larger than 64 MiB`);
    return await readFile(path, "utf8");
  } catch (cause) {
    throw fileError(cause, "read", path);
  }
}

async function fileSha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK }))
      hash.update(chunk as Uint8Array);
  } catch (cause) {
    throw fileError(cause, "read", path);
  }
  return hash.digest("hex");
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
