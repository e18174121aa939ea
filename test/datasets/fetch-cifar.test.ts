import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { beforeAll, expect, test } from "vitest";
import { CIFAR_LAYOUTS, type CifarLayout } from "../../src/data/cifar-layout.ts";
import { loadCifar } from "../../src/datasets/cifar.ts";
import { type FetchOptions, fetchCifar } from "../../src/datasets/fetch-cifar.ts";
import { DataError, UsageError } from "../../src/support/errors.ts";
import { fileServer } from "../support/file-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const RECORD = 3073;
const COUNT = 7;
const FOLDER = CIFAR_LAYOUTS.cifar10.folder;

/** Small files with CIFAR-10's names and format, and a layout with their checksums instead of the official ones. */
const files = new Map(
  ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"].map((name) => {
    const bytes = randomBytes(COUNT * RECORD);
    for (let at = 0; at < bytes.length; at += RECORD) bytes[at] %= 10;
    return [name, bytes];
  }),
);
const names = [...files.keys()];
const entry = (name: string) => ({ name, count: COUNT, sha256: sha256(files.get(name)!) });
let archive: Buffer;
let layout: CifarLayout;

beforeAll(async () => {
  archive = await archiveOf(files);
  layout = {
    ...CIFAR_LAYOUTS.cifar10,
    train: names.slice(0, 2).map(entry),
    test: [entry(names[2]!)],
    archive: { ...CIFAR_LAYOUTS.cifar10.archive, sha256: sha256(archive) },
  };
});

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function archiveOf(content: ReadonlyMap<string, Buffer>): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name: `${FOLDER}/readme.html` }, "not wanted");
  for (const [name, bytes] of content) tar.entry({ name: `${FOLDER}/${name}` }, bytes);
  tar.finalize();
  return gzipSync(await buffer(tar as unknown as NodeJS.ReadableStream));
}

async function refused(run: Promise<unknown>, message: RegExp): Promise<void> {
  await expect(run).rejects.toThrow(DataError);
  await expect(run).rejects.toThrow(message);
}

function expectInstalled(dataDir: string): void {
  expect(readdirSync(join(dataDir, FOLDER)).sort()).toEqual(names);
  for (const [name, bytes] of files) {
    expect(readFileSync(join(dataDir, FOLDER, name)).equals(bytes)).toBe(true);
  }
  expect(loadCifar(layout, { dataDir }).train.count).toBe(2 * COUNT);
}

test("from an address, with transfers that break off: checked and unpacked, and nothing else remains", async () => {
  const server = await fileServer(archive, { cuts: [10_000, 20_000], etag: '"one"' });
  const dataDir = temporaryFolder();
  const onProgress = ({ bytes }: { bytes: number }) => server.received(bytes);
  expect(await fetchCifar(layout, { dataDir, from: server.url, onProgress, retrySeconds: 0.001 })).toBe(true);
  expect(server.requested).toEqual([null, "bytes=10000-", "bytes=30000-"]);
  expect(readdirSync(dataDir)).toEqual([FOLDER]);
  expectInstalled(dataDir);
  // Present and complete: no network is needed.
  expect(await fetchCifar(layout, { dataDir })).toBe(false);
  // Otherwise the message says what is wrong, and why fetching failed.
  const offline = { ...layout, archive: { ...layout.archive, url: "http://name.invalid/x" } };
  truncateSync(join(dataDir, FOLDER, names[1]!), 100);
  await refused(
    fetchCifar(offline, { dataDir }),
    /data_batch_2\.bin: byte 100: .*truncated.*; fetching it: http:\/\/name\.invalid.*--from/,
  );
  rmSync(join(dataDir, FOLDER, names[0]!));
  await refused(
    fetchCifar(offline, { dataDir }),
    /data_batch_1\.bin: CIFAR-10's file is missing; fetching it: /,
  );
});

test("a transfer that fails for good leaves only a partial file, under another name", async () => {
  const server = await fileServer(archive, { cuts: [10_000], etag: '"one"' });
  const dataDir = temporaryFolder();
  const run = () =>
    fetchCifar(layout, {
      dataDir,
      from: server.url,
      retrySeconds: 0.001,
      onProgress: ({ bytes }) => {
        if (bytes === 10_000) server.serve(archive, { statuses: new Array(20).fill(503), etag: '"one"' });
        server.received(bytes);
      },
    });
  await refused(
    run(),
    /answered 503.*; 9\.77 KiB have arrived and are kept in .*cifar-10-binary\.tar\.gz\.part/,
  );
  expect(readdirSync(dataDir).sort()).toEqual([
    "cifar-10-binary.tar.gz.part",
    "cifar-10-binary.tar.gz.part.json",
  ]);
  expect(() => loadCifar(layout, { dataDir })).toThrow(/data_batch_1\.bin: CIFAR-10's file is missing/);
  server.serve(archive, { etag: '"one"' });
  await run();
  expect(server.requested.at(-1)).toBe("bytes=10000-");
  expectInstalled(dataDir);
});

test("an archive with a wrong checksum, without the files, or with a damaged file leaves nothing behind", async () => {
  const dataDir = temporaryFolder();
  const path = join(dataDir, "mine.tar.gz");
  const run = (options: FetchOptions = {}) => fetchCifar(layout, { dataDir, from: path, ...options });
  const other = await archiveOf(new Map());
  writeFileSync(path, other);
  const mismatch = `mine\\.tar\\.gz: expected SHA-256 ${sha256(archive)}, found ${sha256(other)}.*--sha256 none`;
  await refused(run(), new RegExp(mismatch));
  await refused(run({ sha256: sha256(other) }), /mine\.tar\.gz: data_batch_1\.bin is not in the archive/);
  const damaged = Buffer.from(files.get(names[1]!)!);
  damaged[RECORD] = 200;
  writeFileSync(path, await archiveOf(new Map([...files, [names[1]!, damaged]])));
  await refused(run({ sha256: "none" }), /mine\.tar\.gz\/data_batch_2\.bin: fine label 200 of record 1/);
  expect(readdirSync(dataDir)).toEqual(["mine.tar.gz"]);
  writeFileSync(path, archive);
  await run();
  expectInstalled(dataDir);
  expect(existsSync(path)).toBe(true);
});

test("from a folder with the files or their archive: missing, short and wrong files are named", async () => {
  const dataDir = temporaryFolder();
  const source = join(dataDir, "source");
  mkdirSync(source);
  const run = (options: FetchOptions = {}) => fetchCifar(layout, { dataDir, from: source, ...options });
  await refused(run(), /source\/cifar-10-batches-bin\/data_batch_1\.bin: CIFAR-10's file is missing/);
  for (const [name, bytes] of files) writeFileSync(join(source, name), bytes);
  const changed = join(source, "data_batch_2.bin");
  const original = files.get("data_batch_2.bin")!;
  writeFileSync(changed, original.subarray(0, 12));
  await refused(run({ sha256: "none" }), /source\/data_batch_2\.bin: byte 12: .*truncated/);
  writeFileSync(changed, files.get("data_batch_1.bin")!);
  await refused(run(), /source\/data_batch_2\.bin: expected SHA-256 .*found /);
  writeFileSync(changed, original);
  await expect(run({ sha256: sha256(archive) })).rejects.toThrow(UsageError);
  expect(existsSync(join(dataDir, FOLDER))).toBe(false);
  await run();
  expectInstalled(dataDir);

  const second = temporaryFolder();
  writeFileSync(join(second, "cifar-10-binary.tar.gz"), archive);
  await run({ dataDir: second, from: second });
  expectInstalled(second);
  const nowhere = join(dataDir, "nowhere");
  await refused(run({ from: nowhere }), /--from .*nowhere: cannot read: no such file or folder/);
});
