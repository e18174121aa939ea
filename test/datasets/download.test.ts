import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type DownloadOptions, download, type Transfer } from "../../src/datasets/download.ts";
import { DataError } from "../../src/support/errors.ts";
import { type FileServer, fileServer } from "../support/file-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const CONTENT = randomBytes(300_000);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Options for a download of CONTENT with short delays. */
function options(
  { url, received }: Pick<FileServer, "url" | "received">,
  changed: Partial<DownloadOptions> = {},
): DownloadOptions {
  const path = join(temporaryFolder(), "file.tar.gz");
  const onProgress = ({ bytes }: Transfer) => received(bytes);
  return { url, path, sha256: sha256(CONTENT), onProgress, attempts: 3, retrySeconds: 0.001, ...changed };
}

async function refused(run: Promise<unknown>, ...messages: RegExp[]): Promise<void> {
  const error = await run.then(
    () => null,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(DataError);
  for (const message of messages) expect((error as Error).message).toMatch(message);
}

/** The file does not exist under its own name. */
function expectNotThere({ path }: DownloadOptions): void {
  expect(existsSync(path)).toBe(false);
}

test("a transfer that breaks off twice continues where it stopped, and leaves only the file in its folder", async () => {
  const server = await fileServer(CONTENT, { cuts: [100_000, 80_000], etag: '"one"' });
  const progress: Transfer[] = [];
  const whole = options(server, {
    onProgress: (transfer) => {
      progress.push(transfer);
      server.received(transfer.bytes);
    },
  });
  await download(whole);
  expect(readFileSync(whole.path).equals(CONTENT)).toBe(true);
  expect(readdirSync(join(whole.path, ".."))).toEqual(["file.tar.gz"]);
  expect(server.requested).toHaveLength(3);
  const starts = server.requested.map((range) => Number(/\d+/.exec(range ?? "0")?.[0]));
  expect(starts).toEqual([0, 100_000, 180_000]);
  expect(progress.at(-1)).toEqual({ bytes: 300_000, total: 300_000 });
});

test.each([
  ["with an ETag", '"one"'],
  ["without one, by the checksum", undefined],
])("another process continues a partial download: %s", async (_, etag) => {
  const server = await fileServer(CONTENT, { cuts: new Array(50).fill(100_000), ...(etag && { etag }) });
  const whole = options(server, { attempts: 1 });
  await refused(
    download(whole),
    /127\.0\.0\.1.*have arrived and are kept in .*file\.tar\.gz\.part; the same command continues/,
  );
  expectNotThere(whole);
  server.serve(CONTENT, etag === undefined ? {} : { etag });
  await download({ ...whole });
  expect(readFileSync(whole.path).equals(CONTENT)).toBe(true);
  expect(server.requested).toEqual([null, "bytes=100000-"]);
});

test("a file that has changed on the server is fetched from the start", async () => {
  const server = await fileServer(CONTENT, { cuts: [100_000], etag: '"one"' });
  const whole = options(server, { attempts: 1 });
  await refused(download(whole), /kept in/);
  const other = randomBytes(200_000);
  server.serve(other, { etag: '"two"' });
  await download({ ...whole, sha256: sha256(other) });
  expect(readFileSync(whole.path).equals(other)).toBe(true);
});

test("with a server that sends no parts, every attempt starts over, until the attempts are used up", async () => {
  const server = await fileServer(CONTENT, {
    cuts: [50_000, 50_000, 50_000, 50_000, 50_000],
    ranges: false,
    etag: '"one"',
  });
  const whole = options(server);
  await refused(download(whole), /the same command continues from there/);
  expectNotThere(whole);
  server.serve(CONTENT, { ranges: false, etag: '"one"' });
  await download(whole);
  expect(readFileSync(whole.path).equals(CONTENT)).toBe(true);
});

test("a server that sends smaller parts than requested is asked again", async () => {
  const server = await fileServer(CONTENT, { cuts: [100_000], partBytes: 90_000, etag: '"one"' });
  const whole = options(server);
  await download(whole);
  expect(readFileSync(whole.path).equals(CONTENT)).toBe(true);
  expect(server.requested).toEqual([null, "bytes=100000-", "bytes=190000-", "bytes=280000-"]);
});

test("a complete partial file is not fetched again", async () => {
  const server = await fileServer(CONTENT, { etag: '"one"' });
  const whole = options(server);
  writeFileSync(`${whole.path}.part`, CONTENT);
  await download(whole);
  expect(readFileSync(whole.path).equals(CONTENT)).toBe(true);
  expect(server.requested).toEqual(["bytes=300000-"]);
});

test("a wrong checksum is an error with both checksums, and the partial file is removed", async () => {
  const server = await fileServer(CONTENT);
  const whole = options(server, { sha256: sha256(randomBytes(3)) });
  await refused(
    download(whole),
    new RegExp(`${server.url}: expected SHA-256 ${whole.sha256}, found ${sha256(CONTENT)}`),
    /was deleted/,
  );
  expect(readdirSync(join(whole.path, ".."))).toEqual([]);
  // The start of one file with the rest of another has a wrong checksum too.
  writeFileSync(`${whole.path}.part`, randomBytes(1000));
  await refused(download({ ...whole, sha256: sha256(CONTENT) }), /found/);
  await download({ ...whole, sha256: sha256(CONTENT) });
  expect(readFileSync(whole.path).equals(CONTENT)).toBe(true);
});

test("without a checksum, a partial file of unknown origin is not continued", async () => {
  const server = await fileServer(CONTENT);
  const whole = options(server, { sha256: null });
  writeFileSync(`${whole.path}.part`, randomBytes(1000));
  await download(whole);
  expect(readFileSync(whole.path).equals(CONTENT)).toBe(true);
});

test("a busy server is asked again, a missing page is not", async () => {
  const server = await fileServer(CONTENT, { statuses: [503, 500] });
  await download(options(server));
  expect(server.requested).toHaveLength(3);
  server.serve(CONTENT, { statuses: [404, 404] });
  const missing = options(server);
  await refused(
    download(missing),
    /the server answered 404 Not Found; name another address, a folder or an archive with --from/,
  );
  expect(server.requested).toHaveLength(4);
  expectNotThere(missing);
});

test("a server that stops sending, and one that cannot be reached, are errors with advice", async () => {
  const server = await fileServer(CONTENT, { stallsAfter: 1000, etag: '"one"' });
  const whole = options(server, { stallSeconds: 0.5, attempts: 1 });
  await refused(download(whole), /no data for 0\.5 s; 1000 B have arrived/);
  const gone = createServer().listen(0, "127.0.0.1");
  await once(gone, "listening");
  const { port } = gone.address() as AddressInfo;
  gone.close();
  await refused(
    download(options({ url: `http://127.0.0.1:${port}/x`, received: () => undefined }, { attempts: 2 })),
    /ECONNREFUSED.*; nothing has arrived; without a network, name a folder or an archive/,
  );
});
