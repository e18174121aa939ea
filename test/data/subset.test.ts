import { expect, test } from "vitest";
import { imageBytes } from "../../src/data/dataset.ts";
import { subset } from "../../src/data/subset.ts";
import { syntheticDataset } from "../../src/data/synthetic.ts";
import { DataError } from "../../src/support/errors.ts";

test("a subset holds distinct samples with their own labels, the same for the same seed, nested", () => {
  const data = syntheticDataset({
    classes: 10,
    channels: 3,
    height: 9,
    width: 7,
    train: 500,
    test: 200,
    seed: 1,
  });
  const size = imageBytes(data);
  const part = subset(data, { train: 100, test: 50, seed: 3 });
  expect([part.train.count, part.test.count]).toEqual([100, 50]);
  expect(part.train.images).toHaveLength(100 * size);

  const key = (images: Uint8Array, n: number) => images.subarray(n * size, (n + 1) * size).join(",");
  const positions = new Map(Array.from({ length: 500 }, (_, n) => [key(data.train.images, n), n]));
  const chosen = Array.from({ length: 100 }, (_, n) => positions.get(key(part.train.images, n)) ?? -1);
  expect(new Set(chosen).size).toBe(100);
  expect(chosen.map((n) => data.train.labels[n])).toEqual([...part.train.labels]);
  expect(chosen).not.toEqual([...chosen].sort((a, b) => a - b));

  expect(subset(data, { train: 100, test: 50, seed: 3 })).toEqual(part);
  expect(subset(data, { train: 101, seed: 3 }).train.labels.slice(0, 100)).toEqual(part.train.labels);
  expect(subset(data, { train: 100, seed: 4 }).train.labels).not.toEqual(part.train.labels);
  expect(subset(data, { test: 5, seed: 3 }).train).toBe(data.train);
  expect(() => subset(data, { train: 501, seed: 3 })).toThrow(DataError);
  expect(() => subset(data, { test: 0, seed: 3 })).toThrow(/expected 1 to 200 test samples, got 0/);
});
