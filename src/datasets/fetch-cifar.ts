// Puts CIFAR's official binary files into the data folder: from the web, a folder or an archive.

import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type CifarLayout, recordBytes } from "../data/cifar-layout.ts";
import { fileError } from "../storage/file-error.ts";
import { makeFolder, syncFolder } from "../storage/folder.ts";
import { DataError, UsageError } from "../support/errors.ts";
import { extractFiles } from "./archive.ts";
import {
  DEFAULT_DATA_DIRECTORY,
  describeCifar,
  findCifarFolder,
  loadCifar,
  missingCifarFile,
} from "./cifar.ts";
import { download, requireSha256, type Transfer } from "./download.ts";

export interface FetchOptions {
  /** Target folder; the files go into the archive's own folder in it. Default "data". */
  readonly dataDir?: string | undefined;
  /** A folder with the files or their archive, an archive, or an address (http, https). Default: the official address. */
  readonly from?: string | undefined;
  /** SHA-256 of the archive, by default the official one's; "none" accepts any archive and any files. */
  readonly sha256?: string | undefined;
  readonly onProgress?: (transfer: Transfer) => void;
  /** As in DownloadOptions. */
  readonly retrySeconds?: number;
  readonly stallSeconds?: number;
}

/**
 * Fetches the files unless they already exist and can be read without error, whatever their checksums. They are checked
 * under another name and then renamed, so a file under its final name is complete.
 * @returns whether anything had to be fetched
 * @throws DataError naming a file that is missing, damaged or not the expected one, or the reason why a transfer failed
 */
export async function fetchCifar(layout: CifarLayout, options: FetchOptions = {}): Promise<boolean> {
  const { dataDir = DEFAULT_DATA_DIRECTORY, from = layout.archive.url } = options;
  const fault = options.from === undefined ? faultIn(layout, dataDir) : null;
  if (options.from === undefined && fault === null) return false;
  const staging = join(dataDir, `.${layout.archive.name}.${randomUUID()}.tmp`);
  try {
    await makeFolder(staging);
    if (/^https?:\/\//i.test(from)) {
      const archive = join(dataDir, layout.archive.name);
      await download({ ...options, url: from, path: archive, sha256: archiveSha256(layout, options) });
      await unpack(layout, archive, staging, options);
      await rm(archive);
    } else {
      await takeLocal(layout, from, staging, options);
    }
    await moveInto(layout, staging, join(dataDir, layout.folder));
    return true;
  } catch (cause) {
    const error = fileError(cause, "be filled", dataDir);
    if (fault === null) throw error;
    throw new DataError(`${fault}; fetching it: ${error.message}`, { cause });
  } finally {
    await rm(staging, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** The first problem with the files in the data folder; null if there is none. */
function faultIn(layout: CifarLayout, dataDir: string): string | null {
  const missing = missingCifarFile(layout, dataDir);
  if (missing !== null) return `${missing}: ${layout.title}'s file is missing`;
  try {
    loadCifar(layout, { dataDir });
    return null;
  } catch (error) {
    if (error instanceof DataError) return error.message;
    throw error;
  }
}

/** Takes the files from a folder or an archive on this machine, which is not changed. */
async function takeLocal(
  layout: CifarLayout,
  from: string,
  staging: string,
  options: FetchOptions,
): Promise<void> {
  const found = await stat(from).catch((cause) => {
    throw fileError(cause, "read", `--from ${from}`);
  });
  if (!found.isDirectory()) return takeArchive(layout, from, staging, options);
  const archive = join(from, layout.archive.name);
  const loose = [from, join(from, layout.folder)].some((folder) =>
    filesOf(layout).some(({ name }) => existsSync(join(folder, name))),
  );
  if (!loose && existsSync(archive)) return takeArchive(layout, archive, staging, options);
  const folder = findCifarFolder(layout, from);
  if (options.sha256 !== undefined && options.sha256 !== "none") {
    throw new UsageError(
      `--sha256 is the checksum of an archive, but ${folder} contains the files themselves: omit it, or set it to none`,
    );
  }
  await checkFiles(layout, folder, folder, options);
  for (const { name } of filesOf(layout)) await copyFile(join(folder, name), join(staging, name));
}

async function takeArchive(
  layout: CifarLayout,
  archive: string,
  staging: string,
  options: FetchOptions,
): Promise<void> {
  const expected = archiveSha256(layout, options);
  if (expected !== null) await requireSha256(archive, expected);
  await unpack(layout, archive, staging, options);
}

async function unpack(
  layout: CifarLayout,
  archive: string,
  folder: string,
  options: FetchOptions,
): Promise<void> {
  const wanted = new Map(filesOf(layout).map(({ name, count }) => [name, count * recordBytes(layout)]));
  const found = await extractFiles({ archive, folder, wanted });
  const missing = [...wanted.keys()].find((name) => !found.has(name));
  if (missing !== undefined) throw new DataError(`${archive}: ${missing} is not in the archive`);
  await checkFiles(layout, folder, archive, options);
}

/**
 * Checks sizes and labels by reading the files, and checksums unless another archive was requested.
 * @param source name of their origin, for messages
 */
async function checkFiles(
  layout: CifarLayout,
  folder: string,
  source: string,
  { sha256 }: FetchOptions,
): Promise<void> {
  for (const file of sha256 === undefined ? filesOf(layout) : []) {
    await requireSha256(join(folder, file.name), file.sha256, { shownAs: join(source, file.name) });
  }
  try {
    describeCifar(layout, { dataDir: folder });
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(error.message.replace(folder, source), { cause: error });
  }
}

async function moveInto(layout: CifarLayout, from: string, to: string): Promise<void> {
  await makeFolder(to);
  for (const { name } of filesOf(layout)) await rename(join(from, name), join(to, name));
  await syncFolder(to);
}

function filesOf({ train, test }: CifarLayout) {
  return [...train, ...test];
}

function archiveSha256({ archive }: CifarLayout, { sha256 }: FetchOptions): string | null {
  if (sha256 === undefined) return archive.sha256;
  return sha256 === "none" ? null : sha256;
}
