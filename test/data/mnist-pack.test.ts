import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { PACKED_SHA256, PACKED_SUBSET, packMnist, unpackMnist } from "../../src/data/mnist-pack.ts";
import { subset } from "../../src/data/subset.ts";
import { loadMnist } from "../../src/datasets/mnist.ts";

const part = subset(loadMnist(), PACKED_SUBSET);
const packed = packMnist(part);

test("the packed images have the checksum that pages expect", () => {
  expect(createHash("sha256").update(packed).digest("hex")).toBe(PACKED_SHA256);
});

test("unpacking gives the same data set", () => {
  const { train, test: tested, ...facts } = unpackMnist(packed, "mnist.gz");
  expect({ ...facts, train: part.train, test: part.test }).toEqual(part);
  // Comparing element by element takes minutes.
  for (const [found, expected] of [
    [train, part.train],
    [tested, part.test],
  ] as const) {
    expect(found.count).toBe(expected.count);
    for (const values of ["images", "labels"] as const)
      expect(Buffer.from(found[values]).equals(Buffer.from(expected[values]))).toBe(true);
  }
});

test("damaged files are refused with the file and the part", () => {
  const shifted = Uint8Array.from(packed);
  shifted.copyWithin(100, 0);
  const longAtEnd = new Uint8Array(packed.length + 1);
  longAtEnd.set(packed);
  expect(() => unpackMnist(packed.subarray(0, 3_000_000), "m.gz")).toThrow(/m\.gz, train-images.*truncated/);
  expect(() => unpackMnist(packed.subarray(0, -1), "m.gz")).toThrow(/m\.gz, t10k-labels.*truncated/);
  expect(() => unpackMnist(longAtEnd, "m.gz")).toThrow(/m\.gz: expected \d+ bytes .* found \d+/);
  expect(() => unpackMnist(shifted, "m.gz")).toThrow(/m\.gz/);
  expect(() => unpackMnist(new Uint8Array(), "m.gz")).toThrow(/m\.gz/);
});
