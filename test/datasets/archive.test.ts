import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { expect, test } from "vitest";
import { extractFiles } from "../../src/datasets/archive.ts";
import { DataError } from "../../src/support/errors.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

type Entry = { name: string; type?: "file" | "symlink" | "directory"; linkname?: string; content?: string };

async function tar(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const { content, ...header } of entries) {
    if (content === undefined) archive.entry(header);
    else archive.entry(header, content);
  }
  archive.finalize();
  return buffer(archive as unknown as NodeJS.ReadableStream);
}

const WANTED = new Map([
  ["a.bin", 5],
  ["b.bin", 3],
]);
const GOOD: Entry[] = [
  { name: "set/", type: "directory" },
  { name: "set/readme.html", content: "skipped" },
  { name: "set/a.bin", content: "aaaaa" },
  { name: "set/b.bin", content: "bbb" },
];

/** Extracts into a folder inside another one, so that files outside it are noticed. */
async function extracted(bytes: Uint8Array) {
  const outer = temporaryFolder();
  const folder = join(outer, "in", "side");
  await mkdir(folder, { recursive: true });
  const archive = join(outer, "archive.tar.gz");
  writeFileSync(archive, bytes);
  const outcome = await extractFiles({ archive, folder, wanted: WANTED }).catch((error: unknown) => error);
  expect(readdirSync(outer).sort()).toEqual(["archive.tar.gz", "in"]);
  expect(readdirSync(join(outer, "in"))).toEqual(["side"]);
  return { outcome, folder, files: readdirSync(folder).sort() };
}

test.each([
  ["packed", gzipSync],
  ["not packed", (bytes: Buffer) => bytes],
])("the wanted files, from an archive that is %s", async (_, wrap) => {
  const { outcome, folder, files } = await extracted(wrap(await tar(GOOD)));
  expect(outcome).toEqual(new Set(["a.bin", "b.bin"]));
  expect(files).toEqual(["a.bin", "b.bin"]);
  expect(readFileSync(join(folder, "a.bin"), "utf8")).toBe("aaaaa");
});

const OUTSIDE = ["../../a.bin", "/a.bin", "set/../../../b.bin", "..\\..\\a.bin", "C:\\a.bin", "../other.txt"];
test.each([
  ...OUTSIDE.map(
    (name) =>
      [
        `an entry ${name}`,
        [{ name, content: "aaaaa" }, ...GOOD],
        /would be unpacked outside the target folder/,
      ] as const,
  ),
  [
    "a link in place of a file",
    [{ name: "a.bin", type: "symlink", linkname: "/etc/passwd" }],
    /a\.bin: expected a file, found a symlink/,
  ],
  [
    "a file of another size",
    [{ name: "a.bin", content: "aaaaaaaa" }],
    /a\.bin: expected 5 bytes, the archive has 8/,
  ],
  [
    "two files with the same name",
    [...GOOD, { name: "more/a.bin", content: "AAAAA" }],
    /two files named a\.bin/,
  ],
] as [string, Entry[], RegExp][])("%s is refused, naming the archive", async (_, entries, message) => {
  const { outcome } = await extracted(gzipSync(await tar(entries)));
  expect(outcome).toBeInstanceOf(DataError);
  expect((outcome as Error).message).toMatch(/archive\.tar\.gz: /);
  expect((outcome as Error).message).toMatch(message);
});

test("a damaged archive is an error that says so", async () => {
  const whole = gzipSync(
    await tar([...GOOD, { name: "noise", content: Array.from({ length: 9999 }, Math.random).join() }]),
  );
  const damaged: [Uint8Array, RegExp][] = [
    [
      whole.subarray(0, whole.length / 2),
      /not a complete tar archive \(truncated or damaged: fetch it again\)/,
    ],
    [(await tar(GOOD)).subarray(0, 700), /not a complete tar archive/],
    [Buffer.from("<html>no such page</html>".repeat(50)), /not a complete tar archive/],
    [Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), /compressed with xz/],
  ];
  for (const [bytes, message] of damaged) {
    const { outcome } = await extracted(bytes);
    expect(outcome).toBeInstanceOf(DataError);
    expect((outcome as Error).message).toMatch(message);
  }
});
