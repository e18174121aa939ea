// `ghostbatch tune` on this adapter: it replaces a bad default, refuses wrong results, and does not make a step slower.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { captureCommands } from "../../src/bench/capture.ts";
import { measureQuestion } from "../../src/bench/tune/measure-question.ts";
import { tune, tuneStep } from "../../src/bench/tune/tune.ts";
import type { Command } from "../../src/gpu/command.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { definedKernels } from "../../src/gpu/kernel.ts";
import { Tuning } from "../../src/gpu/tuning.ts";
import { adapterKey } from "../../src/host/node/adapter-cache.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { tuningFor } from "../../src/host/node/tuning-store.ts";
import { launchConv2d, launchConv2dGradInput } from "../../src/kernels/conv2d.ts";
import { gradWeightPartials, launchConv2dGradWeight } from "../../src/kernels/conv2d-grad-weight.ts";
import { empty, fromArray, persistent, readFloats, type Tensor } from "../../src/tensor/tensor.ts";
import "../../src/kernels/sum-rows.ts";
import { VARIANTS } from "../support/op-run.ts";

const folder = mkdtempSync(join(tmpdir(), "tune-"));
let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ tuning: "off" });
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Workgroups of COLUMNS × LANES lanes add up the rows of x; `grid` workgroups cover `grid` · COLUMNS columns. */
type SumWay = { COLUMNS: number; LANES: number; grid: number };

function sumRows({ x, y }: { x: Tensor; y: Tensor }, ways: readonly [SumWay, ...SumWay[]]): void {
  const kernel = definedKernels().find(({ file }) => file === "reduce/sum-rows.wgsl")!;
  const { COLUMNS, LANES, grid } = gpu.tuning.choose("sum", ways, y.size);
  gpu.run(kernel, {
    buffers: { x, y },
    overrides: { ACCUMULATE: false },
    params: { rows: x.size / y.size, columns: y.size },
    spec: { COLUMNS, LANES },
    workgroups: [grid],
    cost: { flops: x.size, bytes: 4 * x.size },
    choice: "sum",
  });
}

describe("tune", () => {
  // On a busy machine a search may see no clear winner. A search that never finds it fails three times.
  const tries = { retry: 2 };
  test(
    "finds the good choice of a launcher whose default is bad, and refuses a wrong one",
    tries,
    async () => {
      await gpu.lifetime(async () => {
        const x = persistent(gpu, [2048, 512]);
        const y = persistent(gpu, [512]);
        const bad = { COLUMNS: 1, LANES: 1, grid: 512 };
        const good = { COLUMNS: 64, LANES: 1, grid: 8 };
        const wrong = { COLUMNS: 64, LANES: 1, grid: 4 };
        const report = await tune(gpu, () => sumRows({ x, y }, [bad, good, wrong]), { minutes: 0.5 });
        const [question] = report.questions;
        expect(question).toMatchObject({ key: "sum", dispatches: 1, winner: good });
        const refused = question!.ways.find(({ way }) => way["grid"] === 4);
        expect(refused).toMatchObject({
          ms: null,
          problem: expect.stringMatching(/^25\d of 512 results differ/),
        });
        expect(report.choices).toEqual({ sum: good });
        expect(report.step!.ratio).toBeLessThan(0.9);
      });
    },
  );

  test("choices are kept only if they make the step faster, and every question is answered", async () => {
    const report = await tuneStep(
      gpu,
      { model: "resnet8", batch: 8, ghostSize: 8, minutes: 0.4 },
      () => undefined,
    );
    expect(report.questions.length).toBeGreaterThan(0);
    const defaults = Object.fromEntries(report.questions.map(({ key, ways }) => [key, ways[0]!.way]));
    expect(Object.keys(report.choices).sort()).toEqual(Object.keys(defaults).sort());
    if (report.step === null || report.step.ratio >= 1) expect(report.choices).toEqual(defaults);
    else expect(report.choices).not.toEqual(defaults);
    expect(gpu.tuning.choices).toEqual({});
  });
});

/** One shape for the patch kernels, and one for the general ones: a filter that skips pixels. */
const CONVOLUTIONS = [
  { R: 3, stride: 1, padding: 1 },
  { R: 1, stride: 2, padding: 0 },
];
const WAYS = VARIANTS.flatMap((variant) => CONVOLUTIONS.map((one) => ({ variant, ...one })));

test.each(WAYS)(
  "$variant: every choice for a $R×$R convolution with stride $stride gives the results of the default, both gradients too",
  async ({ variant, R, ...options }) => {
    const own = gpu.variant;
    gpu.variant = variant;
    await gpu.lifetime(async () => {
      const random = (size: number) =>
        Float32Array.from({ length: size }, (_, i) => Math.sin(i * 12.9898) / 2);
      const side = 16 / options.stride;
      const x = fromArray(gpu, random(2 * 16 * 16 * 16), [2, 16, 16, 16]);
      const weight = fromArray(gpu, random(32 * 16 * R * R), [32, 16, R, R]);
      const y = fromArray(gpu, random(2 * 32 * side * side), [2, 32, side, side]);
      const [out, dx, dweight] = [y, x, weight].map(({ shape }) => persistent(gpu, shape));
      const passes = {
        forward: [out!, () => launchConv2d({ x, weight, y: out! }, options)],
        "input gradient": [dx!, () => launchConv2dGradInput({ dy: y, weight, dx: dx! }, options)],
        "weight gradient": [
          dweight!,
          () => {
            const { elements } = gradWeightPartials(x, weight.shape, options);
            const partials = empty(gpu, [elements]);
            launchConv2dGradWeight({ x, dy: y, partials, dweight: dweight! }, options);
          },
        ],
      } as const;
      for (const [name, [output, launch]] of Object.entries(passes)) {
        const run = async (tuning: Tuning) => {
          gpu.tuning = tuning;
          gpu.scope(launch);
          return readFloats(output);
        };
        const asked = new Tuning();
        const expected = await run(asked);
        const { key, ways } = asked.questions.at(-1)!;
        expect(ways.length, name).toBeGreaterThan(1);
        const scale = Math.max(...expected.map(Math.abs));
        for (const way of ways) {
          const found = await run(new Tuning({ [key]: way }));
          const error = Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)));
          expect(error / scale, `${name} ${JSON.stringify(way)}`).toBeLessThan(1e-5);
        }
        // A choice that the launcher does not list is ignored.
        expect(await run(new Tuning({ [key]: { nonsense: 3 } }))).toEqual(expected);
      }
      gpu.tuning = new Tuning();
    });
    gpu.variant = own;
  },
);

test.each(["narrow", "matrix"] as const)("results in f16 are compared as f16, %s", async (variant) => {
  const size = [4, 16, 8, 8];
  const [x, y] = [0, 1].map(() => persistent(gpu, size, { dtype: "f16" }));
  const weight = persistent(gpu, [16, 16, 3, 3]);
  const launch = () => launchConv2d({ x: x!, weight, y: y! }, { stride: 1, padding: 1 });
  const asked = new Tuning();
  gpu.tuning = asked;
  captureCommands(gpu, variant, launch);
  const { ways: all, ...question } = asked.questions.at(-1)!;
  const ways = all.slice(0, 2);
  const launches = ways.map((way) => {
    gpu.tuning = new Tuning({ [question.key]: way });
    return captureCommands(gpu, variant, launch);
  });
  gpu.tuning = new Tuning();
  const { ways: measured } = await measureQuestion(gpu, { ...question, ways }, launches, () => false);
  expect(measured.map(({ problem }) => problem)).toEqual([null, null]);
  // A choice that computes something else is found.
  const [right, other] = launches as [Command[], Command[]];
  const half = { ...other[0]!.launch, workgroups: [1, 1, 1] as const };
  const wrong = [{ kernel: other[0]!.kernel, launch: half }];
  const again = await measureQuestion(gpu, { ...question, ways }, [right, wrong], () => false);
  expect(again.ways.map(({ problem }) => problem === null)).toEqual([true, false]);
});

test("a file of choices is used, `off` uses none, and any other file is refused on one line", () => {
  const path = join(folder, "tuning.json");
  const file = { format: 2, adapter: adapterKey(gpu.adapter), steps: [], choices: { sum: { LANES: 4 } } };
  writeFileSync(path, JSON.stringify(file));
  expect(tuningFor(gpu.adapter, path).choices).toEqual(file.choices);
  expect(tuningFor(gpu.adapter, "off")).toMatchObject({ choices: {}, wanted: false });
  writeFileSync(path, JSON.stringify({ ...file, choices: 3 }));
  expect(() => tuningFor(gpu.adapter, path)).toThrow(`${path}: not written by \`ghostbatch tune\``);
  expect(() => tuningFor(gpu.adapter, join(folder, "none"))).toThrow(/cannot be read/);
});
