import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import type { StreamedDataset, StreamOptions } from "../../src/data/streamed.ts";
import { openImagenet } from "../../src/datasets/imagenet.ts";
import { DataError, UsageError } from "../../src/support/errors.ts";
import { boundedInteger, pcg4d, STREAMS } from "../../src/support/random.ts";
import { pngBytes, writeFiles } from "../support/image-files.ts";

/** Called with each path that is decoded. */
const decoded = vi.hoisted(() => vi.fn<(path: string) => void>());
vi.mock("../../src/datasets/decode.ts", async (original) => {
  const module = await original<typeof import("../../src/datasets/decode.ts")>();
  const openDecoder = async (): Promise<import("../../src/datasets/decode.ts").Decode> => {
    const decode = await module.openDecoder();
    return (path, resize) => {
      decoded(path);
      return decode(path, resize);
    };
  };
  return { ...module, openDecoder };
});

// Images of 20 × 12, whose shorter side needs no scaling. Each pixel holds its position and the number of its image.
const WIDTH = 20;
const HEIGHT = 12;
const CROP = 8;
const COUNT = 9;
const SIZE = 3 * CROP * CROP;
const GEOMETRY = { resize: HEIGHT, crop: CROP };
const SEED = 42;

const root = mkdtempSync(join(tmpdir(), "ghostbatch-streamed-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let data: StreamedDataset;
beforeAll(() => {
  const image = (n: number) => pngBytes(WIDTH, HEIGHT, (x, y) => [x, y, n]);
  const names = Array.from({ length: COUNT }, (_, n) => [`train/n0${n % 3}/${n}.JPEG`, image(n)]);
  writeFiles(root, { ...Object.fromEntries(names), "val/n01/x.JPEG": image(99) });
  data = openImagenet(root, GEOMETRY);
});

async function open(options: Partial<StreamOptions> = {}, part: "train" | "test" = "train") {
  const source = await data[part].open({ seed: SEED, augmentation: true, ...options });
  onTestFinished(() => source.close());
  return source;
}

/** Column, row and image, from an image's corner pixel. */
function corner(images: Uint8Array, n: number) {
  const at = n * SIZE;
  return { column: images[at]!, row: images[at + CROP ** 2]!, image: images[at + 2 * CROP ** 2]! };
}

const samples = Uint32Array.of(4, 0, 8, 7, 1, 2, 3, 6, 5);

test("sizes, classes and labels come from the folders", () => {
  expect([data.classes, data.height, data.width, data.train.count, data.test.count]).toEqual([
    3,
    CROP,
    CROP,
    9,
    1,
  ]);
  expect([...data.train.labels]).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
  expect(data.augmentation).toEqual({ padding: 0, padValue: 0, flip: false });
  expect(() => openImagenet(undefined)).toThrow(UsageError);
  expect(() => openImagenet(root, { resize: 10, crop: 11 })).toThrow(/a crop of 11 pixels does not fit/);
});

test("too few threads for the cores give a warning with the setting", () => {
  const warnings: string[] = [];
  const warned = (threads: string) => {
    vi.stubEnv("UV_THREADPOOL_SIZE", threads);
    openImagenet(root, GEOMETRY, (text) => warnings.push(text));
    return warnings.splice(0).join();
  };
  expect(warned("0")).toMatch(/on 0 of \d+ cores: set UV_THREADPOOL_SIZE=\d+/);
  expect(warned("1024")).toBe("");
  vi.unstubAllEnvs();
});

test("crop and mirroring follow from (seed, epoch, sample), and all kinds occur", async () => {
  const source = await open();
  const mirrored = new Set<boolean>();
  const columns = new Set<number>();
  for (const epoch of [0, 1, 2, 3]) {
    const { images, labels } = await source.next(epoch, samples);
    for (const [n, sample] of samples.entries()) {
      const [x, y, z] = pcg4d(SEED, STREAMS.augmentation, epoch, sample);
      const top = boundedInteger(x, HEIGHT - CROP + 1);
      const left = boundedInteger(y, WIDTH - CROP + 1);
      const flip = z >>> 31 === 1;
      mirrored.add(flip);
      columns.add(left);
      const found = corner(images, n);
      expect([found.row, found.column]).toEqual([top, flip ? left + CROP - 1 : left]);
      // The next pixel to the right, and the last of the image.
      expect(images[n * SIZE + 1]).toBe(found.column + (flip ? -1 : 1));
      expect(images[n * SIZE + 2 * CROP ** 2 - 1]).toBe(top + CROP - 1);
      expect(labels[n]).toBe(data.train.labels[sample]);
    }
  }
  expect(mirrored.size).toBe(2);
  expect(columns.size).toBeGreaterThan(5);
});

test("samples come in the requested order, whatever the batches, announced or not", async () => {
  const whole = await (await open()).next(3, samples);
  // The listing is sorted by class: sample 4 is the second of class 1, file 4.
  expect([...samples].map((_, n) => corner(whole.images, n).image)).toEqual([4, 0, 8, 5, 3, 6, 1, 2, 7]);
  const announced = await open({ ahead: 2 });
  announced.announce(3, samples);
  const parts: number[] = [];
  for (const [from, to] of [
    [0, 1],
    [1, 6],
    [6, 9],
  ] as const) {
    const { images, waitMs } = await announced.next(3, samples.subarray(from, to));
    parts.push(...images);
    expect(waitMs).toBeGreaterThanOrEqual(0);
  }
  expect(parts).toEqual([...whole.images]);
  expect(announced.waitMs).toBeGreaterThan(0);
});

test("requests for samples that were not announced, and for one sample twice, are served", async () => {
  const source = await open();
  source.announce(0, samples);
  const twice = await source.next(1, Uint32Array.of(2, 2, 5));
  const fresh = await (await open()).next(1, Uint32Array.of(2, 2, 5));
  expect(twice.images).toEqual(fresh.images);
  expect(twice.images.subarray(0, SIZE)).toEqual(twice.images.subarray(SIZE, 2 * SIZE));
});

test("several epochs may be announced", async () => {
  const source = await open({ ahead: 4 });
  source.announce(0, samples);
  source.announce(1, samples);
  const both = [await source.next(0, samples), await source.next(1, samples)];
  const other = await open();
  expect(both[0]!.images).toEqual((await other.next(0, samples)).images);
  expect(both[1]!.images).toEqual((await other.next(1, samples)).images);
  expect(both[0]!.images).not.toEqual(both[1]!.images);
});

test("announced samples that are not requested are skipped, and the rest stays announced", async () => {
  const source = await open({ ahead: 4 });
  source.announce(0, samples);
  source.announce(1, samples);
  await source.next(0, samples.subarray(0, 2));
  decoded.mockClear();
  // The rest of epoch 0 is dropped: four of it were started, and the whole of epoch 1 follows.
  const { images } = await source.next(1, samples);
  expect(images).toEqual((await (await open()).next(1, samples)).images);
  decoded.mockClear();
  source.announce(2, samples);
  await source.next(2, samples.subarray(3, 4));
  expect(decoded).toHaveBeenCalledTimes(4 + 4); // four at once, and four in place of one taken and three passed over
});

test("decoding begins when samples are announced, up to `ahead` images before the requests", async () => {
  const source = await open({ ahead: 4 });
  decoded.mockClear();
  source.announce(0, samples);
  expect(decoded).toHaveBeenCalledTimes(4);
  await source.next(0, samples.subarray(0, 2));
  expect(decoded).toHaveBeenCalledTimes(6);
  source.close();
  await source.next(0, samples.subarray(0, 1));
  expect(decoded).toHaveBeenCalledTimes(7);
});

test("without mirroring, the crops are the same", async () => {
  const [plain, mirroring] = [await open({ mirroring: false }), await open()];
  const [{ images }, { images: mirrored }] = [await plain.next(0, samples), await mirroring.next(0, samples)];
  const differs = [...samples.keys()].map((n) => {
    const [found, other] = [corner(images, n), corner(mirrored, n)];
    expect(images[n * SIZE + 1]).toBe(found.column + 1);
    expect(other.row).toBe(found.row);
    expect([found.column, found.column + CROP - 1]).toContain(other.column);
    return other.column !== found.column;
  });
  expect(new Set(differs)).toEqual(new Set([true, false]));
});

test("without augmentation, and for evaluation, the crop is central", async () => {
  for (const [source, sample] of [
    [await open({ augmentation: false }), 3],
    [await open({ augmentation: false }, "test"), 0],
  ] as const) {
    const { images } = await source.next(7, Uint32Array.of(sample));
    expect(corner(images, 0)).toMatchObject({ row: (HEIGHT - CROP) / 2, column: (WIDTH - CROP) / 2 });
  }
});

test("other sizes are scaled by their shorter side", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ghostbatch-streamed-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  // Left half black, right half white; scaled by 1/2 it is 20 × 12, and its middle square is half and half.
  const image = pngBytes(40, 24, (x) => (x < 20 ? [0, 0, 0] : [255, 255, 255]));
  const tall = pngBytes(6, 60, (_, y) => [y, y, y]);
  writeFiles(folder, { "train/a/1.png": image, "train/a/2.png": tall, "val/a/1.png": image });
  const source = await openImagenet(folder, GEOMETRY).train.open({ seed: 0, augmentation: false });
  const { images } = await source.next(0, Uint32Array.of(0, 1));
  expect([...images.subarray(0, CROP)].map((byte) => Math.round(byte / 255))).toEqual([
    0, 0, 0, 0, 1, 1, 1, 1,
  ]);
  // 6 × 60 becomes 12 × 120: the middle rows are 56 … 63 of 120, brightness 28 … 31.
  expect(images[SIZE]! + images[SIZE + CROP * (CROP - 1)]!).toBe(28 + 31);
});

test("an image that cannot be decoded fails the request for it, by name, and no other", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ghostbatch-streamed-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const good = pngBytes(WIDTH, HEIGHT, () => [1, 2, 3]);
  writeFiles(folder, {
    "train/a/1.jpg": good,
    "train/a/2.jpg": "broken",
    "train/a/3.jpg": good,
    "val/a/1.jpg": good,
  });
  const source = await openImagenet(folder, GEOMETRY).train.open({ seed: 0, augmentation: true });
  source.announce(0, Uint32Array.of(0, 1, 2));
  expect((await source.next(0, Uint32Array.of(0))).images[0]).toBe(1);
  await sleep(50); // the broken one has failed by now, with nobody asking
  const failing = source.next(0, Uint32Array.of(1, 2));
  await expect(failing).rejects.toThrow(DataError);
  await expect(failing).rejects.toThrow(/train\/a\/2\.jpg: cannot be decoded/);
  expect((await source.next(0, Uint32Array.of(2))).images[0]).toBe(1);
  source.close();
});
