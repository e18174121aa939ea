// runs/<name>/checkpoints/: the states from which a run can continue.
//
//   last-<step>.safetensors   the state after <step> steps, the newest few of them
//   best-<step>.safetensors   the weights of the best evaluation, in PyTorch's names and layouts
//   <either>.json             data that belongs to the tensors, and the SHA-256 of both
//
// Both are written under temporary names; then the JSON gets its name, and the tensors get theirs last. So tensors without
// JSON are never what a killed process has left: something else has removed the JSON. A JSON without tensors is either a
// checkpoint whose tensors are still there under their temporary name, or one whose tensors have been removed.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { parseJson } from "../support/damage.ts";
import { DataError, messageOf } from "../support/errors.ts";
import type { MessageSink } from "../support/messages.ts";
import { stageFile, temporaryFiles } from "./atomic-file.ts";
import { errorCode, fileError } from "./file-error.ts";
import { makeFolder, syncFolder } from "./folder.ts";
import { removeLeftovers } from "./leftovers.ts";
import { encodeSafetensors, readSafetensors, type StoredTensor, type TensorToStore } from "./safetensors.ts";
import { readTextFile } from "./text-file.ts";

export type CheckpointKind = "last" | "best";

/** Completed steps when it was taken. */
export interface CheckpointName {
  readonly kind: CheckpointKind;
  readonly step: number;
}

export interface StoredCheckpoint {
  readonly step: number;
  /** Path of its tensors. */
  readonly path: string;
  /** The content given to `write`; only its checksum has been verified. */
  readonly content: unknown;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** Bytes hashed and written at a time; this blocks the event loop, which feeds the GPU, for about a millisecond. */
const CHUNK = 2 ** 20;
const NAME = /^(last|best)-(\d{1,15})\.(json|safetensors)$/;
/** Largest size of a JSON file, bytes. It has a few kilobytes and a list of evaluations; far more is not a checkpoint's. */
const LARGEST_JSON = 64 * 2 ** 20;

export class CheckpointFolder {
  readonly path: string;

  /** @param runFolder the run's own folder */
  constructor(runFolder: string) {
    this.path = join(runFolder, "checkpoints");
  }

  /** All checkpoints of a kind with both files, newest first; none if the folder does not exist. */
  async list(kind: CheckpointKind): Promise<CheckpointName[]> {
    const whole = (await this.#found()).filter((found) => found.kind === kind && found.parts === 2);
    return whole.map(({ step }) => ({ kind, step }));
  }

  /**
   * Writes a checkpoint: tensors and JSON, both or neither. Both are on disk when this resolves.
   * @param content plain JSON
   * @param permitted is awaited before the files are renamed, and throws if they must not be
   * @throws DataError if writing fails; existing checkpoints are untouched
   */
  async write(
    name: CheckpointName,
    tensors: Iterable<readonly [string, TensorToStore]>,
    content: object,
    permitted: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    await makeFolder(this.path);
    const hash = createHash("sha256");
    const data = await stageFile(this.#file(name, "safetensors"), hashed(encodeSafetensors(tensors), hash));
    try {
      const body = { ...content, tensors: hash.digest("hex") };
      const text = `${JSON.stringify({ checksum: sha256(JSON.stringify(body)), checkpoint: body }, null, 1)}\n`;
      const record = await stageFile(this.#file(name, "json"), text);
      await permitted().catch(async (error) => {
        await record.discard();
        throw error;
      });
      try {
        await record.commit();
        await data.commit();
      } catch (error) {
        await record.discard();
        // One without the other would mean that something has been removed.
        for (const part of ["safetensors", "json"])
          await this.#remove(`${baseName(name)}.${part}`).catch(() => undefined);
        throw error;
      }
    } catch (error) {
      await data.discard();
      throw error;
    }
  }

  /**
   * Renames tensors that a killed process had written completely, if it had already renamed their JSON. Call this when no other
   * process writes, before reading or removing anything.
   */
  async completeInterrupted(): Promise<void> {
    for (const name of (await this.#found()).filter(({ parts }) => parts === 1)) {
      const path = this.#file(name, "safetensors");
      for (const temporary of await temporaryFiles(this.path, `${baseName(name)}.safetensors`)) {
        const record = await this.#record(name).catch(() => null);
        if (record === null || (await fileSha256(temporary)) !== record.tensors) continue;
        await rename(temporary, path).catch((cause) => {
          throw fileError(cause, "write", path);
        });
        await syncFolder(this.path);
      }
    }
  }

  /** @throws DataError naming a missing or damaged file */
  async read(name: CheckpointName): Promise<StoredCheckpoint> {
    const path = this.#file(name, "json");
    const { tensors: expected, ...content } = await this.#record(name);
    const file = this.#file(name, "safetensors");
    if ((await fileSha256(file)) !== expected) {
      throw new DataError(`${file}: damaged: its SHA-256 does not match ${path}`);
    }
    return { step: name.step, path: file, content, tensors: (await readSafetensors(file)).tensors };
  }

  /**
   * The newest complete checkpoint that `accept` accepts; null if none was ever written.
   * @param report is called for each damaged or missing one that is skipped
   * @param accept throws DataError for one that cannot be used; any other error ends the search
   * @throws DataError naming the files, if there are some and none can be used
   */
  async newestWhole<T>(
    accept: (checkpoint: StoredCheckpoint) => T,
    { report, before = Number.POSITIVE_INFINITY }: { report: MessageSink; before?: number },
  ): Promise<T | null> {
    const candidates = (await this.#found()).filter(({ kind, step }) => kind === "last" && step < before);
    const complaints: string[] = [];
    for (const [index, name] of candidates.entries()) {
      try {
        return accept(await this.read(name));
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        complaints.push(messageOf(error));
        const next = candidates[index + 1];
        if (next) report(`${messageOf(error)}; using the checkpoint before it, of step ${next.step}`);
      }
    }
    if (complaints.length === 0) return null;
    throw new DataError(
      `no usable checkpoint: ${complaints.join("; ")}; restore the files, or delete the run's folder to start over`,
    );
  }

  /** Removes every checkpoint not to be kept, including incomplete ones; tensors first. */
  async prune(kept: readonly CheckpointName[]): Promise<void> {
    const wanted = new Set(kept.map(baseName));
    for (const name of await this.#found()) {
      if (wanted.has(baseName(name))) continue;
      await this.#remove(`${baseName(name)}.safetensors`);
      await this.#remove(`${baseName(name)}.json`);
    }
  }

  /** Removes all but the best, when the run has finished. */
  async keepBest(): Promise<void> {
    await this.prune((await this.list("best")).slice(0, 1));
  }

  /** Removes temporary files of a killed process. Call this when no other process writes. */
  async sweep(): Promise<void> {
    if ((await this.#files()).length > 0) await removeLeftovers(this.path);
  }

  /** Checkpoints with at least one file, newest first; `parts` is 2 if both exist. */
  async #found(): Promise<(CheckpointName & { readonly parts: number })[]> {
    const found = new Map<string, CheckpointName & { parts: number }>();
    for (const file of await this.#files()) {
      const [, kind, step] = file.match(NAME) ?? [];
      if (step === undefined) continue;
      const name = { kind: kind as CheckpointKind, step: Number(step) };
      const parts = (found.get(baseName(name))?.parts ?? 0) + 1;
      found.set(baseName(name), { ...name, parts });
    }
    return [...found.values()].sort((a, b) => b.step - a.step);
  }

  /** The contents of the JSON. @throws DataError if it is missing or damaged */
  async #record(name: CheckpointName): Promise<Record<string, unknown> & { tensors: unknown }> {
    const path = this.#file(name, "json");
    return checkedBody(readTextFile(path, { most: LARGEST_JSON }), path);
  }

  /** Names of regular files, not of folders or pipes. */
  async #files(): Promise<string[]> {
    try {
      const entries = await readdir(this.path, { withFileTypes: true });
      return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
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

/** The same bytes in small pieces, each hashed when it is consumed. */
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
  const record = parseJson(text, path) as { checksum?: unknown; checkpoint?: unknown } | null;
  const body = record?.checkpoint;
  if (typeof body !== "object" || body === null || sha256(JSON.stringify(body)) !== record?.checksum) {
    throw new DataError(`${path}: damaged: its content does not match its checksum`);
  }
  return body as Record<string, unknown> & { tensors: unknown };
}

async function fileSha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    if (!(await stat(path)).isFile()) throw new DataError(`${path}: damaged: it is not a file`);
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
