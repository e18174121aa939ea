import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parseIdx } from "../../src/data/idx.ts";
import { readIdx } from "../../src/datasets/idx-file.ts";
import { DataError } from "../../src/support/errors.ts";
import { mutations } from "../support/mutations.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-idx-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** An idx file of bytes 0, 1, 2, … */
function idxFile(shape: number[]): Uint8Array {
  const header = new Uint8Array(4 + 4 * shape.length);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0x0800 | shape.length);
  for (const [i, size] of shape.entries()) view.setUint32(4 + 4 * i, size);
  const values = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i % 256);
  return Uint8Array.from([...header, ...values]);
}

function written(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

function refused(run: () => unknown, message: RegExp): void {
  expect(run).toThrow(DataError);
  expect(run).toThrow(message);
}

test("a file's shape and values come back", () => {
  const { shape, values, offset } = readIdx(written("images", idxFile([3, 4, 5])), 3);
  expect(shape).toEqual([3, 4, 5]);
  expect([...values]).toEqual(Array.from({ length: 60 }, (_, i) => i));
  expect(offset).toBe(16);
  expect(readIdx(written("labels", idxFile([7])), 1).values).toHaveLength(7);
});

describe("a file that is not the expected one is refused with path, offset, expected and found", () => {
  const labels = idxFile([7]);
  test.each([
    [
      "images for labels",
      idxFile([2, 2, 2]),
      /byte 3: expected .* 1 dimension\(s\), which starts 00 00 08 01, found 00 00 08 03/,
    ],
    ["floats", Uint8Array.from([0, 0, 0x0d, 1, 0, 0, 0, 0]), /byte 2: .* found 00 00 0d 01/],
    ["gzip", Uint8Array.from([0x1f, 0x8b, 8, 0, 0, 0]), /byte 0: .*gunzip/],
    ["text", new TextEncoder().encode("<html>"), /byte 0: expected an idx file/],
    ["empty", new Uint8Array(), /byte 0: .*empty/],
    ["cut in the magic", labels.slice(0, 3), /byte 3: .* found 00 00 08/],
    ["cut in the header", labels.slice(0, 6), /byte 6: expected a header of 8 bytes/],
    [
      "truncated",
      labels.slice(0, 12),
      /header announces 7 values, a file of 15 bytes, but the file has 12 \(truncated/,
    ],
    ["too long", Uint8Array.from([...labels, 0]), /the file has 16 \(too long/],
    [
      "a size of 2^32−1",
      Uint8Array.from([0, 0, 8, 1, 255, 255, 255, 255]),
      /header announces 4294967295 values/,
    ],
  ])("%s", (name, bytes, message) => {
    const path = join(folder, name);
    refused(() => readIdx(written(name, bytes), 1), message);
    refused(() => readIdx(path, 1), new RegExp(path.replaceAll(/[^\w]/g, ".")));
  });

  test("a missing file, and one that is not a regular file", () => {
    refused(() => readIdx(join(folder, "missing"), 1), /missing: cannot read: no such file/);
    refused(() => readIdx(folder, 1), /folder or a device/);
  });

  test("a header that announces 2^96 bytes, and a huge sparse file, take no memory", () => {
    refused(
      () => parseIdx(Uint8Array.from([0, 0, 8, 3, ...new Array(12).fill(255)]), "huge", 3),
      /truncated/,
    );
    const path = written("sparse", idxFile([7]));
    truncateSync(path, 2 ** 40);
    refused(() => readIdx(path, 1), /the file has 1099511627776/);
  });
});

test("4,000 damaged files give a DataError or exactly the array in the file", () => {
  let read = 0;
  for (const [seed, original] of [idxFile([20]), idxFile([5, 4, 3])].entries()) {
    const dimensions = seed === 0 ? 1 : 3;
    for (const bytes of mutations(original, { count: 2000, seed })) {
      try {
        const { shape, values, offset } = parseIdx(bytes, "damaged", dimensions);
        expect(values.length).toBe(shape.reduce((a, b) => a * b, 1));
        expect(values.length).toBe(bytes.length - offset);
        read++;
      } catch (error) {
        expect(error).toBeInstanceOf(DataError);
      }
    }
  }
  // Changed values leave the format valid, so the mutations must reach both outcomes.
  expect(read).toBeGreaterThan(100);
  expect(read).toBeLessThan(3000);
});
