import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { createGzip } from "node:zlib";
import { pack } from "tar-stream";
import { beforeAll, expect, test } from "vitest";
import { loadCifar } from "../../src/data/cifar.ts";
import { CIFAR_LAYOUTS } from "../../src/data/cifar-layout.ts";
import { fetchCifar } from "../../src/data/fetch-cifar.ts";
import { DataError, UsageError } from "../../src/support/errors.ts";
import { fileServer } from "../support/file-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const { folder: FOLDER, train, test: testFiles } = CIFAR_LAYOUTS.cifar10;
const NAMES = [...train, ...testFiles].map(({ name }) => name);
const BYTES = 30_730_000;

// An archive like the official one, all zero, so that it packs to a few hundred kilobytes.
let archive: Buffer;
let sha256: string;
beforeAll(async () => {
  archive = await archiveOf(NAMES, Buffer.alloc(BYTES));
  sha256 = createHash("sha256").update(archive).digest("hex");
});

async function archiveOf(names: readonly string[], content: Buffer): Promise<Buffer> {
  const tar = pack();
  const packed = buffer((tar as unknown as NodeJS.ReadableStream).pipe(createGzip({ level: 1 })));
  tar.entry({ name: `${FOLDER}/readme.html` }, "not wanted");
  for (const name of names) tar.entry({ name: `${FOLDER}/${name}` }, content);
  tar.finalize();
  return packed;
}

async function refused(run: Promise<unknown>, message: RegExp): Promise<void> {
  await expect(run).rejects.toThrow(DataError);
  await expect(run).rejects.toThrow(message);
}

test("from an address, over transfers that break off: checked, unpacked, and nothing else left", async () => {
  const server = await fileServer(archive, { cuts: [archive.length >> 2, archive.length >> 2], etag: '"one"' });
  const dataDir = temporaryFolder();
  expect(await fetchCifar("cifar10", { dataDir, from: server.url, sha256, retrySeconds: 0.001 })).toBe(true);
  expect(server.requested).toHaveLength(3);
  expect(readdirSync(dataDir)).toEqual([FOLDER]);
  expect(readdirSync(join(dataDir, FOLDER)).sort()).toEqual([...NAMES].sort());
  expect(loadCifar("cifar10", { dataDir }).train.count).toBe(50_000);
});

test("an archive of another checksum is refused, and taken when that was asked for", async () => {
  const dataDir = temporaryFolder();
  const path = join(dataDir, "mine.tar.gz");
  writeFileSync(path, archive);
  await refused(
    fetchCifar("cifar10", { dataDir, from: path }),
    new RegExp(`mine\\.tar\\.gz: expected SHA-256 ${CIFAR_LAYOUTS.cifar10.archive.sha256}, found ${sha256}.*--sha256 none`),
  );
  expect(readdirSync(dataDir)).toEqual(["mine.tar.gz"]);
  await fetchCifar("cifar10", { dataDir, from: path, sha256: "none" });
  expect(existsSync(path)).toBe(true);
  expect(loadCifar("cifar10", { dataDir }).test.count).toBe(10_000);
});

test("an archive without one of the files, or with a damaged one, leaves nothing behind", async () => {
  const dataDir = temporaryFolder();
  const path = join(dataDir, "mine.tar.gz");
  const from = { dataDir, from: path, sha256: "none" };
  writeFileSync(path, await archiveOf(NAMES.slice(1), Buffer.alloc(BYTES)));
  await refused(fetchCifar("cifar10", from), /mine\.tar\.gz: data_batch_1\.bin is not in the archive/);
  const content = Buffer.alloc(BYTES);
  content[3073] = 200;
  writeFileSync(path, await archiveOf(NAMES, content));
  await refused(fetchCifar("cifar10", from), /mine\.tar\.gz\/data_batch_1\.bin: fine label 200 of record 1/);
  expect(readdirSync(dataDir)).toEqual(["mine.tar.gz"]);
});

test("from a folder: the file that is missing, short or another is named", async () => {
  const dataDir = temporaryFolder();
  const source = join(dataDir, "source");
  mkdirSync(source);
  const run = (options = {}) => fetchCifar("cifar10", { dataDir, from: source, ...options });
  await refused(run(), /source\/cifar-10-batches-bin\/data_batch_1\.bin: CIFAR-10's file is not there/);
  for (const name of NAMES) {
    writeFileSync(join(source, name), "");
    truncateSync(join(source, name), BYTES);
  }
  await refused(run(), /source\/data_batch_1\.bin: expected SHA-256 cee91656.*found /);
  truncateSync(join(source, "data_batch_5.bin"), 12);
  await refused(run({ sha256: "none" }), /source\/data_batch_5\.bin: byte 12: .*truncated/);
  truncateSync(join(source, "data_batch_5.bin"), BYTES);
  await expect(run({ sha256 })).rejects.toThrow(UsageError);
  expect(existsSync(join(dataDir, FOLDER))).toBe(false);
  await run({ sha256: "none" });
  expect(readFileSync(join(dataDir, FOLDER, "test_batch.bin"))).toHaveLength(BYTES);
  await refused(run({ from: join(dataDir, "nowhere") }), /--from .*nowhere: cannot read: there is no such file or folder/);
});
