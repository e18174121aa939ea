import { expect, test } from "vitest";
import { classCounts, imageBytes } from "../../src/data/dataset.ts";
import { type SyntheticOptions, syntheticDataset } from "../../src/data/synthetic.ts";
import { UsageError } from "../../src/support/errors.ts";

const OPTIONS: SyntheticOptions = {
  classes: 10,
  channels: 3,
  height: 9,
  width: 7,
  train: 500,
  test: 200,
  seed: 1,
};

test("has the requested shape and every class; the bytes depend on the seed", () => {
  const data = syntheticDataset(OPTIONS);
  expect(data.train.images).toHaveLength(500 * 3 * 9 * 7);
  expect(Math.min(...classCounts(data.train, 10))).toBeGreaterThan(25);
  expect(data.normalization.mean).toHaveLength(3);
  const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
  expect(same(syntheticDataset(OPTIONS).train.images, data.train.images)).toBe(true);
  expect(same(syntheticDataset({ ...OPTIONS, seed: 2 }).train.images, data.train.images)).toBe(false);
  expect(same(data.test.images, data.train.images.subarray(0, data.test.images.length))).toBe(false);
  expect(syntheticDataset({ ...OPTIONS, classes: 1000 }).train.labels).toBeInstanceOf(Uint16Array);
});

test("a sample does not depend on the number of samples", () => {
  const few = syntheticDataset({ ...OPTIONS, train: 10 });
  const many = syntheticDataset(OPTIONS);
  expect(many.train.images.slice(0, few.train.images.length)).toEqual(few.train.images);
  expect(many.train.labels.slice(0, 10)).toEqual(few.train.labels);
});

test("can be learned: the nearest class mean of the training images predicts the test labels", () => {
  const data = syntheticDataset(OPTIONS);
  const size = imageBytes(data);
  const counts = classCounts(data.train, 10);
  const means = counts.map(() => new Float64Array(size));
  for (const [n, label] of data.train.labels.entries()) {
    for (let i = 0; i < size; i++) means[label][i] += data.train.images[n * size + i] / counts[label];
  }
  let correct = 0;
  for (const [n, label] of data.test.labels.entries()) {
    const distances = means.map((mean) =>
      mean.reduce((sum, value, i) => sum + (value - data.test.images[n * size + i]) ** 2, 0),
    );
    if (distances.indexOf(Math.min(...distances)) === label) correct++;
  }
  expect(correct / data.test.count).toBeGreaterThan(0.98);
});

test("impossible sizes are refused by name", () => {
  expect(() => syntheticDataset({ ...OPTIONS, classes: 0 })).toThrow(UsageError);
  expect(() => syntheticDataset({ ...OPTIONS, height: 1.5 })).toThrow(/synthetic data: height: .* got 1.5/);
});
