// Extracts files from a tar archive, gzipped or not. Archives are untrusted: their contents never decide where a file
// is written, or how much.

import { createReadStream, createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract, type Header } from "tar-stream";
import { fileError } from "../storage/file-error.ts";
import { DataError, messageOf } from "../support/errors.ts";

export interface ExtractOptions {
  readonly archive: string;
  /** Existing folder, directly in which all files are put. */
  readonly folder: string;
  /** Names of the files to extract, without their folders, with the exact size of each in bytes. */
  readonly wanted: ReadonlyMap<string, number>;
}

/**
 * Extracts the wanted files from an archive, whatever folder they are in, and skips the rest.
 * @returns the names found
 * @throws DataError naming the archive for an entry that would land outside the folder it is unpacked in, a wanted file
 *   of another size or type, and an archive that is damaged or ends early
 */
export async function extractFiles({ archive, folder, wanted }: ExtractOptions): Promise<Set<string>> {
  const found = new Set<string>();
  const tar = extract();
  const source = createReadStream(archive);
  const unpacking = (await isGzip(archive)) ? pipeline(source, createGunzip(), tar) : pipeline(source, tar);
  // Its failure also ends the loop below, which reports it.
  unpacking.catch(() => undefined);
  try {
    for await (const entry of tar) {
      const name = requireInside(entry.header.name, archive);
      const size = wanted.get(name);
      if (size === undefined || entry.header.type === "directory") {
        entry.resume();
        continue;
      }
      if (found.has(name)) throw new DataError(`${archive}: contains two files named ${name}`);
      requireFile(entry.header, name, size, archive);
      await pipeline(entry, createWriteStream(join(folder, name), { flags: "wx", flush: true }));
      found.add(name);
    }
    await unpacking;
  } catch (cause) {
    throw readable(cause, archive);
  } finally {
    source.destroy();
  }
  return found;
}

/** The last component of an entry's path. */
function requireInside(path: string, archive: string): string {
  const parts = path.split(/[/\\]/);
  const absolute = parts[0] === "" || /^[a-z]:/i.test(path);
  if (absolute || parts.includes("..")) {
    throw new DataError(
      `${archive}: entry ${JSON.stringify(path)} would be unpacked outside the target folder; nothing was unpacked`,
    );
  }
  return parts.filter((part) => part !== "").at(-1) ?? "";
}

function requireFile(header: Header, name: string, size: number, archive: string): void {
  if (header.type !== "file" && header.type !== "contiguous-file") {
    throw new DataError(`${archive}: entry ${header.name}: expected a file, found a ${header.type}`);
  }
  if (header.size !== size) {
    throw new DataError(`${archive}: ${name}: expected ${size} bytes, the archive has ${header.size}`);
  }
}

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path).catch((cause) => {
    throw fileError(cause, "read", path);
  });
  try {
    const { buffer } = await file.read(new Uint8Array(6), 0, 6, 0);
    if (buffer[0] === 0xfd && buffer[1] === 0x37) {
      throw new DataError(
        `${path}: compressed with xz, which is not supported; decompress it with \`xz -d\``,
      );
    }
    return buffer[0] === 0x1f && buffer[1] === 0x8b;
  } catch (cause) {
    throw fileError(cause, "read", path);
  } finally {
    await file.close();
  }
}

function readable(cause: unknown, archive: string): Error {
  if (cause instanceof Error && "syscall" in cause) return fileError(cause, "be unpacked", archive);
  if (cause instanceof DataError) return cause;
  return new DataError(
    `${archive}: not a complete tar archive (truncated or damaged: fetch it again): ${messageOf(cause)}`,
    {
      cause,
    },
  );
}
