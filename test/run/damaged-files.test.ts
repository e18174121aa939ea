// 10,000 damaged configurations, grids, checkpoints, run folders, CIFAR files and images, from fixed seeds. Each gives one of this
// project's errors or a correct reading, within a second, and nothing outside its folder changes.
// (The tests of their readers damage 8,000 safetensors files and 4,000 idx files.)

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { CIFAR_LAYOUTS, recordBytes } from "../../src/data/cifar-layout.ts";
import { loadCifar } from "../../src/datasets/cifar.ts";
import { openDecoder } from "../../src/datasets/decode.ts";
import { readConfig, specOfRun } from "../../src/run/config-file.ts";
import { METRIC_COLUMNS } from "../../src/run/metric-lines.ts";
import { newestUnfinishedRun, summaryOf } from "../../src/run/resume.ts";
import { loadCheckpoint } from "../../src/run/run-checkpoint.ts";
import { completeSpec } from "../../src/run/run-spec.ts";
import { specHash } from "../../src/run/spec-hash.ts";
import { CheckpointFolder } from "../../src/storage/checkpoint-file.ts";
import { readRun } from "../../src/storage/read-run.ts";
import { RunFolder } from "../../src/storage/run-folder.ts";
import { GhostbatchError, messageOf } from "../../src/support/errors.ts";
import { readGrid } from "../../src/sweep/grid.ts";
import { limitMs } from "../support/limits.ts";
import { mutations } from "../support/mutations.ts";

// In memory if the system has such a folder, so that nothing waits for a disk.
const temporary = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
const parent = mkdtempSync(join(temporary, "ghostbatch-damaged-"));
afterAll(() => rmSync(parent, { recursive: true }));

const root = join(parent, "root");
mkdirSync(root);
afterEach(() => expect(readdirSync(parent)).toEqual(["root"]));

const report = () => undefined;

/** Reads a damaged file; true if there is a result. */
async function endsWell(read: () => unknown): Promise<boolean> {
  const before = process.cpuUsage();
  try {
    await read();
    return true;
  } catch (error) {
    if (!(error instanceof GhostbatchError)) throw error;
    expect(messageOf(error)).not.toMatch(/\n/);
    return false;
  } finally {
    const { user, system } = process.cpuUsage(before);
    expect(user + system).toBeLessThan(1000 * limitMs(1000)); // microseconds
  }
}

const CONFIGURATION = `# a run
dataset: synthetic:3x32x32
subset: {train: 100, test: 50, seed: 0}
model: resnet8
batchSize: 64
ghostSize: 16
learningRate: &rate 1e-1
weightDecay: 5.0e-4
momentum: 0.9
maxSteps: 0x10
partial: "exact"
regime: adapted
clipNorm: *rate
`;

test("3,000 configurations", async () => {
  const path = join(root, "config.yaml");
  let taken = 0;
  for (const bytes of mutations(new TextEncoder().encode(CONFIGURATION), { count: 3000, seed: 11 })) {
    writeFileSync(path, bytes);
    const read = () => {
      const spec = completeSpec(readConfig(path));
      expect(completeSpec(spec)).toEqual(spec);
    };
    if (await endsWell(read)) taken++;
  }
  expect(taken).toBeGreaterThan(100);
  expect(taken).toBeLessThan(2500);
});

test("1,000 grids", async () => {
  const text = `name: rates\nbase: {dataset: mnist, batchSize: 64}\ngrid:\n  learningRate: [0.1, 0.2]\n  seed: [0, 1, 2]\n  partial: [exact, wrap]\n`;
  const path = join(root, "grid.yaml");
  let taken = 0;
  for (const bytes of mutations(new TextEncoder().encode(text), { count: 1000, seed: 12 })) {
    writeFileSync(path, bytes);
    const read = async () => {
      for (const { name, spec } of (await readGrid(path)).runs) {
        expect(name).toMatch(/^[\w.+=@,-]{1,100}$/);
        expect(completeSpec(spec)).toEqual(spec);
      }
    };
    if (await endsWell(read)) taken++;
  }
  expect(taken).toBeGreaterThan(20);
});

test("2,000 checkpoints: a damaged one never passes as complete", async () => {
  const spec = completeSpec({});
  const run = join(root, "checkpoints-of");
  const files = new CheckpointFolder(run);
  const tally = {
    seconds: 1,
    evaluations: [{ step: 4, accuracy: 50 }],
    testLoss: 1,
    distanceFirst: 1,
    distanceAll: 2,
    skippedSteps: 0,
  };
  const position = { step: 5, read: 4, distanceSteps: [5] };
  const content = {
    format: 1,
    position,
    metrics: { lines: 10, table: 10 },
    tally,
    spec,
    specHash: specHash(spec),
    data: "d",
    slabSamples: 64,
    versions: {},
    adapter: { name: "a" },
  };
  const data = Float32Array.from({ length: 64 }, (_, i) => i / 7);
  await files.write({ kind: "last", step: 5 }, [["values", { shape: [64], data }]], content);
  const load = () => loadCheckpoint(run, spec, { report });
  expect((await load())!.tensors.get("values")).toEqual(data);
  for (const name of ["last-5.json", "last-5.safetensors"]) {
    const path = join(files.path, name);
    const original = new Uint8Array(readFileSync(path));
    const parts = (of: Uint8Array) =>
      JSON.stringify(name.endsWith("json") ? JSON.parse(new TextDecoder().decode(of)) : [...of]);
    for (const bytes of mutations(original, { count: 1000, seed: 13 })) {
      writeFileSync(path, bytes);
      if (!(await endsWell(load))) continue;
      // Only white space differs, or the mutation changed nothing.
      expect(parts(bytes)).toBe(parts(original));
    }
    writeFileSync(path, original);
  }
});

test(
  "2,000 files of run folders",
  async () => {
    const environment = {
      command: "ghostbatch train",
      git: null,
      versions: { node: "20" },
      adapter: { name: "a" },
    };
    const claimed = await RunFolder.claim({
      runsDirectory: join(root, "runs"),
      name: "run",
      configuration: completeSpec({}),
      environment,
      columns: METRIC_COLUMNS,
    });
    claimed.append({ kind: "train", step: 1, epoch: 0.5, loss: 2.25, accuracy: 10 });
    const { metricsPosition } = claimed;
    claimed.append({ kind: "evaluation", step: 2, epoch: 1, testLoss: 2, testAccuracy: 12.5 });
    await claimed.close();
    const { path } = claimed;
    const numbers = [
      "accuracy",
      "best",
      "bestStep",
      "lastFive",
      "testLoss",
      "steps",
      "skippedSteps",
      "samples",
      "flops",
      "seconds",
      "setupSeconds",
      "imagesPerSecond",
      "distanceFirst",
      "distanceAll",
      "ghostSize",
      "slabSamples",
      "dispatchesPerStep",
      "gpuBytes",
    ];
    const summary = JSON.stringify(Object.fromEntries(numbers.map((name, i) => [name, i])));
    const originals = new Map(readdirSync(path).map((name) => [name, readFileSync(join(path, name))]));
    const restore = () => {
      rmSync(path, { recursive: true });
      mkdirSync(path);
      for (const [name, bytes] of originals) writeFileSync(join(path, name), bytes);
    };
    for (const name of [...originals.keys(), "summary.json"]) {
      const original = new Uint8Array(originals.get(name) ?? Buffer.from(summary));
      for (const bytes of mutations(original, { count: Math.ceil(2000 / (originals.size + 1)), seed: 14 })) {
        restore();
        writeFileSync(join(path, name), bytes);
        await endsWell(() => readRun(path));
        await endsWell(() => specOfRun(path));
        if (name === "summary.json") {
          if (await endsWell(() => summaryOf(path)))
            expect((await summaryOf(path))!.accuracy.toFixed(2)).toMatch(/^-?\d/);
          continue;
        }
        await endsWell(() => newestUnfinishedRun(join(root, "runs"), report));
        await endsWell(async () => {
          const run = await RunFolder.resume(path, { columns: METRIC_COLUMNS, environment, report });
          try {
            await run.rewind(metricsPosition);
            run.append({ kind: "train", step: 2 });
            expect(readFileSync(run.file("metrics.csv"), "utf8")).toMatch(/\ntrain,2,,+\n$/);
            expect(statSync(run.file("metrics.csv")).size).toBe(run.metricsPosition.table);
          } finally {
            await run.close();
          }
        });
      }
    }
    expect(readdirSync(join(root, "runs"))).toEqual(["run"]);
  },
  limitMs(600_000),
); // syncs of some disks take a tenth of a second

test("1,000 CIFAR files", async () => {
  let taken = 0;
  for (const layout of Object.values(CIFAR_LAYOUTS)) {
    const small = {
      ...layout,
      train: [{ ...layout.train[0]!, count: 3 }],
      test: [{ ...layout.test[0]!, count: 2 }],
    };
    const folder = join(root, layout.variant);
    mkdirSync(folder);
    const bytesOf = (count: number) =>
      Uint8Array.from({ length: count * recordBytes(layout) }, (_, i) =>
        i % recordBytes(layout) < layout.labels.length ? i % 7 : i % 251,
      );
    writeFileSync(join(folder, small.test[0]!.name), bytesOf(2));
    for (const bytes of mutations(bytesOf(3), { count: 500, seed: 15 })) {
      writeFileSync(join(folder, small.train[0]!.name), bytes);
      const read = () => {
        const { train, classes } = loadCifar(small, { dataDir: folder });
        expect(train.images).toHaveLength(3 * 3072);
        expect(bytes).toHaveLength(3 * recordBytes(layout));
        for (const label of train.labels) expect(label).toBeLessThan(classes);
      };
      if (await endsWell(read)) taken++;
    }
  }
  // Changed pixels are valid, changed lengths and labels are not.
  expect(taken).toBeGreaterThan(50);
  expect(taken).toBeLessThan(900);
});

test("1,000 images", async ({ skip }) => {
  const sharp = await import("sharp").then(
    ({ default: factory }) => factory,
    () => null,
  );
  if (sharp === null) skip("sharp is not installed: images are not decoded here");
  const decode = await openDecoder();
  const pixels = Buffer.from(Uint8Array.from({ length: 3 * 24 * 20 }, (_, i) => (i * 37) % 256));
  const image = sharp!(pixels, { raw: { width: 24, height: 20, channels: 3 } });
  let taken = 0;
  for (const [name, original] of [
    ["image.png", await image.png().toBuffer()],
    ["image.jpg", await image.jpeg().toBuffer()],
  ] as const) {
    const path = join(root, name);
    for (const bytes of mutations(new Uint8Array(original), { count: 500, seed: 16 })) {
      writeFileSync(path, bytes);
      const read = async () => {
        const {
          height,
          width,
          bytes: decoded,
        } = await decode(path, { kind: "cover", height: 16, width: 16 });
        expect([height, width, decoded.length]).toEqual([16, 16, 3 * 16 * 16]);
      };
      if (await endsWell(read)) taken++;
    }
  }
  expect(taken).toBeGreaterThan(10);
  expect(taken).toBeLessThan(990);
});
