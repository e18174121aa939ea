// Tiles are chosen per type, and matrix kernels compete with wide ones shape by shape: the chosen kernel is the one dispatched.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { captureCommands, signatureOf } from "../../src/bench/capture.ts";
import { compareVariants } from "../../src/bench/tune/compare-variants.ts";
import { tune } from "../../src/bench/tune/tune.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Recording } from "../../src/gpu/recording.ts";
import { Tuning, type Way } from "../../src/gpu/tuning.ts";
import type { Variant } from "../../src/gpu/variant.ts";
import { adapterKey } from "../../src/host/node/adapter-cache.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { tuningFor } from "../../src/host/node/tuning-store.ts";
import { matricesCompete, rememberTimes, variantChoice } from "../../src/host/node/variant-choice.ts";
import { launchConv2d, launchConv2dGradInput } from "../../src/kernels/conv2d.ts";
import { gradWeightPartials, launchConv2dGradWeightPartials } from "../../src/kernels/conv2d-grad-weight.ts";
import { launchMatmul } from "../../src/kernels/matmul.ts";
import { WIDE } from "../../src/kernels/tile-choice.ts";
import { empty, type FloatType, persistent } from "../../src/tensor/tensor.ts";

const folder = mkdtempSync(join(tmpdir(), "tune-variants-"));
let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ tuning: "off" });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});
afterAll(() => rmSync(folder, { recursive: true }));

const SAME = { stride: 1, padding: 1 };
const [IMAGES, FILTERS] = [
  [2, 16, 8, 8],
  [16, 16, 3, 3],
];

/** A convolution, its gradients and a product. */
function launches(type: FloatType): () => void {
  const [x, dy, y, dx] = [0, 1, 2, 3].map(() => persistent(gpu, IMAGES!, { dtype: type }));
  const weight = persistent(gpu, FILTERS!);
  const [a, c] = [0, 1].map(() => persistent(gpu, [64, 64], { dtype: type }));
  const b = persistent(gpu, [64, 64]);
  return () => {
    launchConv2d({ x: x!, weight, y: y! }, SAME);
    launchConv2dGradInput({ dy: dy!, weight, dx: dx! }, SAME);
    const partials = empty(gpu, [gradWeightPartials(x!, FILTERS!, SAME).elements]);
    launchConv2dGradWeightPartials({ x: x!, dy: dy!, partials }, FILTERS!, SAME);
    launchMatmul({ a: a!, b, c: c! });
  };
}

/** The dispatches under these choices, and the questions that the launchers asked. */
function dispatched(type: FloatType, choices: Record<string, Way>, variant: Variant = "matrix") {
  gpu.tuning = new Tuning(choices);
  const commands = captureCommands(gpu, variant, launches(type));
  const { questions } = gpu.tuning;
  gpu.tuning = new Tuning();
  const files = commands.map(({ kernel }) => kernel.file.replace(".wgsl", ""));
  return { questions, files, signature: signatureOf(commands) };
}

const MATRICES = ["conv2d/forward", "conv2d/forward", "conv2d/grad-weight", "matmul/"].map((file) =>
  expect.stringMatching(`${file}-?matrix$`),
);

describe("a choice is followed", () => {
  test("for each shape, matrix kernels or wide ones", () => {
    const { questions, files } = dispatched("f16", {});
    expect(files).toEqual(MATRICES);
    expect(questions.map(({ ways }) => ways.at(-1))).toEqual([WIDE, WIDE, WIDE, WIDE]);
    for (const [index, { key }] of questions.entries()) {
      const { files: others } = dispatched("f16", { [key]: WIDE });
      expect(others[index], key).not.toMatch(/matrix/);
      expect(others.toSpliced(index, 1)).toEqual(MATRICES.toSpliced(index, 1));
    }
    const wide = Object.fromEntries(questions.map(({ key }) => [key, WIDE]));
    expect(dispatched("f16", wide).signature).toBe(dispatched("f16", {}, "wide").signature);
  });

  test.each(["narrow", "wide", "matrix"] as const)(
    "%s: for one type, without affecting the other",
    (variant) => {
      const lastWays = (type: FloatType) =>
        Object.fromEntries(
          dispatched(type, {}, variant).questions.map(({ key, ways }) => [key, ways.at(-1)!]),
        );
      for (const [type, other] of [
        ["f16", "f32"],
        ["f32", "f16"],
      ] as const) {
        const choices = lastWays(type);
        expect(dispatched(type, choices, variant).signature).not.toBe(
          dispatched(type, {}, variant).signature,
        );
        expect(dispatched(other, choices, variant).signature).toBe(dispatched(other, {}, variant).signature);
      }
    },
  );

  test("keys of f32 are those of earlier versions", () => {
    const keys = (variant: Variant) => dispatched("f32", {}, variant).questions.map(({ key }) => key);
    const layer = "C=16 H=8 W=8 K=16 R=3 S=3 stride=1 padding=1";
    expect(keys("narrow")).toEqual([
      `conv2d/forward-narrow ${layer}`,
      `conv2d/forward-narrow ${layer} transposed`,
      `conv2d/grad-weight-narrow ${layer}`,
      "matmul/tiled-narrow M=64 N=64 K=64",
    ]);
    expect(keys("matrix")).toEqual(keys("wide"));
  });
});

test("variants are compared by the dispatches in which their steps differ, launch by launch", async () => {
  // In order: a convolution, the norm that uses its moments, and an addition that is the same after both.
  const step = (file: string, choice: string, moments: number, times: readonly number[]) => {
    const command = (name: string, size: number, own?: string) => ({
      command: {
        kernel: { file: name },
        launch: { workgroups: [size], ...(own && { choice: own }), buffers: {}, cost: {} },
      },
    });
    const layer = [command(file, 1, choice), command("norm", moments), command("add", 1)];
    return {
      dispatches: [command("first", 1, "first"), ...layer, ...layer],
      profile: () => Promise.resolve([9, ...times, ...times].map((ms) => ({ ms }))),
    } as unknown as Recording;
  };
  const matrix = step("matrix", "on matrices", 8, [1, 5, 50]);
  const wide = step("wide", "without", 4, [3, 1, 5]);
  const compare = (standard: "matrix" | "wide") =>
    compareVariants({ matrix, wide }, ["on matrices"], standard, () => true);
  const [found] = await compare("matrix");
  expect(found).toMatchObject({
    launches: 2,
    ms: { matrix: { median: 12 }, wide: { median: 8 } },
    ratio: 1.5,
    winner: "wide",
  });
  expect(await compare("wide")).toMatchObject([{ winner: "wide" }]);
});

test("tune chooses a variant for each shape, and the step uses it", async () => {
  gpu.variant = "matrix";
  await gpu.lifetime(async () => {
    const [x, y] = [0, 1].map(() => persistent(gpu, IMAGES!, { dtype: "f16" }));
    const weight = persistent(gpu, FILTERS!);
    const body = () => launchConv2d({ x: x!, weight, y: y! }, SAME);
    const { variants, choices } = await tune(gpu, body, { minutes: 0.01 });
    expect(variants).toMatchObject([
      { launches: 1, key: expect.stringMatching(/^conv2d\/forward-matrix .* f16$/) },
    ]);
    const { key, winner } = variants[0]!;
    gpu.tuning = new Tuning({ ...choices, [key]: winner === "wide" ? WIDE : choices[key]! });
    const [command] = captureCommands(gpu, "matrix", body);
    expect(/matrix/.test(command!.kernel.file)).toBe(winner === "matrix");
    gpu.tuning = new Tuning();
  });
  gpu.variant = variantChoice(gpu).variant;
});

test("if wide kernels are faster overall, shapes tuned for matrices still run on matrices", async () => {
  vi.stubEnv("GHOSTBATCH_CACHE", folder);
  await rememberTimes(gpu.adapter, { narrow: 3, wide: 1, matrix: 2 });
  const { adapter, device } = gpu;
  const tuned = (choices: Record<string, Way>) =>
    ({ adapter, device, tuning: new Tuning(choices) }) as unknown as Gpu;
  const tile = { key: { Component: "f16", M: 8 } };
  expect(variantChoice(tuned({}))).toMatchObject({ variant: "wide", reason: "measured" });
  expect(variantChoice(tuned({ key: WIDE }))).toMatchObject({ variant: "wide", reason: "measured" });
  expect(variantChoice(tuned(tile))).toMatchObject({ variant: "matrix", reason: "tuned" });
  expect(matricesCompete(tuned({}))).toBe(true);
  // A request for wide kernels gets only those.
  vi.stubEnv("GHOSTBATCH_VARIANT", "wide");
  expect(variantChoice(tuned(tile)).variant).toBe("wide");
  expect(matricesCompete(tuned(tile))).toBe(false);
});

describe("a file of choices", () => {
  const path = join(folder, "tuning.json");
  const said = () => vi.spyOn(console, "error").mockImplementation(() => undefined);
  const read = (file: object) => {
    writeFileSync(path, JSON.stringify({ adapter: adapterKey(gpu.adapter), steps: [], ...file }));
    return tuningFor(gpu.adapter, path).choices;
  };
  const tile = { Component: "f16", M: 8, N: 8, D: 8 };

  test("from before choices had a type counts for f32, and a message says what to do", () => {
    const errors = said();
    const choices = { "matmul/tiled M=1 N=1 K=1": { TILE_M: 8 }, "matmul/matrix M=1 N=1 K=1": tile };
    expect(read({ format: 1, choices })).toEqual({ "matmul/tiled M=1 N=1 K=1": { TILE_M: 8 } });
    expect(errors.mock.calls.flat().join()).toMatch(/f32 uses its choices; .* --precision mixed/);
  });

  test("with an unknown variant is refused", () => {
    const choices = { "matmul/matrix M=1 N=1 K=1 f16": { variant: "tall" } };
    expect(() => read({ format: 2, choices })).toThrow(/f16: expected the variant wide, got "tall"; run/);
  });

  test("with matrix sizes that the adapter does not have is read without them", () => {
    const errors = said();
    const large = { ...tile, M: 16, N: 16, D: 16 };
    const kept = { own: tile, wide: { variant: "wide" } };
    expect(read({ format: 2, choices: { ...kept, large } })).toEqual(kept);
    expect(errors.mock.calls.flat().join()).toMatch(/1 choices are tiles of matrices of 16×16×16 f16/);
  });
});
