import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { CIFAR_LAYOUTS, type CifarLayout } from "../../src/data/cifar-layout.ts";
import { CIFAR100_FINE } from "../../src/data/cifar-names.ts";
import { channelStatistics, constantChannels } from "../../src/data/dataset.ts";
import { describeCifar, loadCifar } from "../../src/datasets/cifar.ts";
import { DataError } from "../../src/support/errors.ts";

// Files of the official sizes: zeros (sparse on the disk) except for the records that tests write.
const root = mkdtempSync(join(tmpdir(), "ghostbatch-cifar-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function cifarFiles(layout: CifarLayout): string {
  const folder = join(root, layout.folder);
  mkdirSync(folder);
  for (const { name, count } of [...layout.train, ...layout.test]) {
    writeFileSync(join(folder, name), "");
    truncateSync(join(folder, name), count * (layout.labels.length + 3072));
  }
  return folder;
}

function write(path: string, offset: number, bytes: readonly number[]): void {
  const file = openSync(path, "r+");
  writeSync(file, Uint8Array.from(bytes), 0, bytes.length, offset);
  closeSync(file);
}

function refused(run: () => unknown, message: RegExp): void {
  expect(run).toThrow(DataError);
  expect(run).toThrow(message);
}

let ten: string;
let hundred: string;
beforeAll(() => {
  ten = cifarFiles(CIFAR_LAYOUTS.cifar10);
  hundred = cifarFiles(CIFAR_LAYOUTS.cifar100);
});

describe("CIFAR-10", () => {
  test("records of all files are in order, with the red plane first", () => {
    // Record 3 of the second batch is sample 10,003; its planes begin at bytes 1, 1025 and 2049.
    write(join(ten, "data_batch_2.bin"), 3 * 3073, [7, 11, 12]);
    write(join(ten, "data_batch_2.bin"), 3 * 3073 + 1025, [21]);
    write(join(ten, "data_batch_2.bin"), 4 * 3073 - 1, [33]);
    write(join(ten, "test_batch.bin"), 9999 * 3073, [9]);
    const data = loadCifar(CIFAR_LAYOUTS.cifar10, { dataDir: root });
    expect([data.train.count, data.test.count, data.classes, data.name]).toEqual([
      50_000,
      10_000,
      10,
      "cifar10",
    ]);
    expect(data.train.labels[10_003]).toBe(7);
    expect(data.test.labels[9999]).toBe(9);
    const image = data.train.images.subarray(10_003 * 3072, 10_004 * 3072);
    expect([image[0], image[1], image[1024], image[3071]]).toEqual([11, 12, 21, 33]);
    expect(data.train.images).toHaveLength(50_000 * 3072);
    expect(data.classNames[7]).toBe("horse");
    // The paper's released code: ImageNet's statistics, 4 pixels of grey 127.
    expect(data.normalization).toEqual({
      mean: [0.485, 0.456, 0.406],
      standardDeviation: [0.229, 0.224, 0.225],
    });
    expect(data.augmentation).toEqual({ padding: 4, padValue: 127, flip: true });
  });

  test("the files' own folder is accepted too, and the description says that they are not the official ones", () => {
    const { files, train } = describeCifar(CIFAR_LAYOUTS.cifar10, { dataDir: ten });
    expect(files.map(({ matches }) => matches)).toEqual(new Array(6).fill(false));
    expect(train.count).toBe(50_000);
  });

  test.each([
    [
      "truncated",
      30_729_999,
      /data_batch_3\.bin: byte 30729999: expected 30730000 bytes, 10000 records of 3073; the file has 30729999 \(truncated/,
    ],
    ["empty", 0, /data_batch_3\.bin: byte 0: expected 30730000 .*truncated/],
    [
      "of one record too many",
      30_733_073,
      /data_batch_3\.bin: byte 30730000: .*the file has 30733073 \(too long/,
    ],
    ["huge", 2 ** 42, /too long/],
  ])("a file that is %s", (_, bytes, message) => {
    const path = join(ten, "data_batch_3.bin");
    truncateSync(path, bytes);
    onTestFinished(() => {
      truncateSync(path, 0);
      truncateSync(path, 30_730_000);
    });
    refused(() => loadCifar(CIFAR_LAYOUTS.cifar10, { dataDir: root }), message);
  });

  test("a label out of range, with record and byte", () => {
    const path = join(ten, "data_batch_1.bin");
    write(path, 1234 * 3073, [10]);
    onTestFinished(() => write(path, 1234 * 3073, [0]));
    refused(
      () => loadCifar(CIFAR_LAYOUTS.cifar10, { dataDir: root }),
      /data_batch_1\.bin: fine label 10 of record 1234 \(byte 3792082\) is out of range: expected 0 to 9/,
    );
  });

  test("a missing file is named with the command that fetches it", () => {
    const path = join(ten, "data_batch_4.bin");
    renameSync(path, `${path}.away`);
    onTestFinished(() => renameSync(`${path}.away`, path));
    refused(
      () => loadCifar(CIFAR_LAYOUTS.cifar10, { dataDir: root }),
      /cifar-10-batches-bin\/data_batch_4\.bin: CIFAR-10's file is missing: `ghostbatch data cifar10 --data-dir .*--from/,
    );
  });

  test("no file at all, the Python version, a packed archive: each message says so", () => {
    const empty = join(root, "elsewhere");
    refused(
      () => loadCifar(CIFAR_LAYOUTS.cifar10, { dataDir: empty }),
      /elsewhere\/cifar-10-batches-bin\/data_batch_1\.bin: .*is missing/,
    );
    mkdirSync(join(empty, "cifar-10-batches-py"), { recursive: true });
    refused(
      () => loadCifar(CIFAR_LAYOUTS.cifar10, { dataDir: empty }),
      /cifar-10-batches-py is the Python version/,
    );
    writeFileSync(join(empty, "cifar-10-binary.tar.gz"), "");
    refused(
      () => loadCifar(CIFAR_LAYOUTS.cifar10, { dataDir: empty }),
      /unpack .*tar\.gz with `.*--from .*tar\.gz`/,
    );
  });
});

describe("CIFAR-100", () => {
  test("fine labels by default, coarse ones as an option", () => {
    write(join(hundred, "train.bin"), 5 * 3074, [19, 99, 77]);
    const fine = loadCifar(CIFAR_LAYOUTS.cifar100, { dataDir: root });
    expect([fine.train.labels[5], fine.classes, fine.name]).toEqual([99, 100, "cifar100"]);
    expect(fine.train.images[5 * 3072]).toBe(77);
    expect(fine.classNames[99]).toBe("worm");
    const coarse = loadCifar(CIFAR_LAYOUTS.cifar100, { dataDir: hundred, labels: "coarse" });
    expect([coarse.train.labels[5], coarse.classes, coarse.name]).toEqual([19, 20, "cifar100-coarse"]);
    expect(coarse.classNames[19]).toBe("vehicles_2");
    expect(CIFAR100_FINE).toEqual([...new Set(CIFAR100_FINE)].sort());
    refused(
      () => loadCifar(CIFAR_LAYOUTS.cifar10, { dataDir: ten, labels: "coarse" }),
      /CIFAR-10 has no coarse labels/,
    );
  });

  test("either label out of range", () => {
    const path = join(hundred, "test.bin");
    onTestFinished(() => write(path, 7 * 3074, [0, 0]));
    write(path, 7 * 3074, [20, 3]);
    refused(
      () => loadCifar(CIFAR_LAYOUTS.cifar100, { dataDir: root }),
      /test\.bin: coarse label 20 of record 7 \(byte 21518\).* 0 to 19/,
    );
    write(path, 7 * 3074, [3, 100]);
    refused(
      () => loadCifar(CIFAR_LAYOUTS.cifar100, { dataDir: root }),
      /test\.bin: fine label 100 of record 7 \(byte 21519\).* 0 to 99/,
    );
  });
});

test("mean and standard deviation of each channel, as fractions of 255", () => {
  // Two images of 1 × 2 pixels: red 0 0 255 255, green 51 ×4, blue 0 102 0 102.
  const images = Uint8Array.of(0, 0, 51, 51, 0, 102, 255, 255, 51, 51, 0, 102);
  const { mean, standardDeviation } = channelStatistics(images, { channels: 3, height: 1, width: 2 });
  expect(mean).toEqual([0.5, 0.2, 0.2]);
  expect(standardDeviation).toEqual([0.5, 0, 0.2]);
  expect(constantChannels({ mean, standardDeviation })).toEqual([1]);
});
