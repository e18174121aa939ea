// Ghost batch norm on the GPU against float64, on both variants: every pass by itself and the fused ones.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/open-gpu.ts";
import {
  launchAffine,
  launchForward,
  launchNormalize,
  launchRunningStatistics,
  launchStatistics,
  partialsShape,
  type RunningRule,
} from "../../src/kernels/ghost-batch-norm.ts";
import {
  launchBackward,
  launchGradInput,
  launchGradStatistics,
  sumsShape,
} from "../../src/kernels/ghost-batch-norm-gradients.ts";
import { fromArray, readFloats, type Tensor } from "../../src/tensor/tensor.ts";
import {
  evaluateBatchNorm,
  ghostBatchNorm,
  ghostBatchNormGradients,
  ghostRange,
  ghostStatistics,
} from "../reference/ghost-batch-norm.ts";
import { updateRunningStatistics } from "../reference/running-statistics.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";
import { randomData } from "../support/random-data.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});

const VARIANTS = ["narrow", "wide"] as const;
const EPS = 1e-5;

interface Case {
  readonly N: number;
  readonly C: number;
  readonly HW: number;
  readonly ghostSize: number;
  readonly ghosts: number;
  /** Mean of x; its deviation is 2. */
  readonly mean?: number;
}

const CASES: readonly Case[] = [
  { N: 22, C: 5, HW: 16, ghostSize: 7, ghosts: 3 }, // last ghost longer
  { N: 10, C: 3, HW: 9, ghostSize: 4, ghosts: 3 }, // last ghost shorter, planes of no whole vec4
  { N: 12, C: 1, HW: 1, ghostSize: 2, ghosts: 6 }, // ghosts of two values
  { N: 13, C: 7, HW: 1, ghostSize: 13, ghosts: 1 }, // plain batch norm, prime everything
  { N: 37, C: 36, HW: 1, ghostSize: 9, ghosts: 4 }, // dense, channels that do not fill a workgroup
  { N: 129, C: 64, HW: 1, ghostSize: 32, ghosts: 4, mean: 300 }, // dense, |mean| = 150 σ
  { N: 3, C: 4, HW: 1, ghostSize: 3, ghosts: 1 },
  { N: 6, C: 2, HW: 1024, ghostSize: 3, ghosts: 2, mean: -2000 }, // |mean| = 1000 σ
  { N: 40, C: 6, HW: 64, ghostSize: 16, ghosts: 3 }, // ghosts of 16, 16, 8
  { N: 5, C: 3, HW: 49, ghostSize: 2, ghosts: 2 },
  { N: 64, C: 1, HW: 4096, ghostSize: 64, ghosts: 1 }, // large enough for several workgroups per group
];

// Statistics lie in a table of all layers and ghosts: here with neighbours on every side.
const FIRST_GHOST = 2;
const FIRST_CHANNEL = 3;
const COLUMNS_AFTER = 2;

function name({ N, C, HW, ghostSize, ghosts, mean = 0.5 }: Case): string {
  return `(${N}, ${C}, ${HW}) in ${ghosts} ghosts of ${ghostSize}, mean ${mean}`;
}

/** A tensor full of NaN: what a kernel leaves unwritten fails every comparison. */
function poisoned(shape: readonly number[]): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return fromArray(gpu, new Float32Array(size).fill(Number.NaN), shape);
}

function inputs({ N, C, HW, mean = 0.5 }: Case) {
  const data = randomData(N * 1000 + C);
  const shape = HW === 1 ? [N, C] : [N, C, HW];
  const host = {
    x: data.normals(N * C * HW, { mean, deviation: 2 }),
    dy: data.normals(N * C * HW),
    residual: data.normals(N * C * HW),
    gamma: data.normals(C, { mean: 1, deviation: 0.3 }),
    beta: data.normals(C, { deviation: 0.5 }),
  };
  const onGpu = {
    x: fromArray(gpu, host.x, shape),
    dy: fromArray(gpu, host.dy, shape),
    residual: fromArray(gpu, host.residual, shape),
    gamma: fromArray(gpu, host.gamma),
    beta: fromArray(gpu, host.beta),
  };
  return { host, onGpu, shape };
}

function tableFor({ C, ghosts }: Case): Tensor {
  return poisoned([FIRST_GHOST + ghosts + 1, FIRST_CHANNEL + C + COLUMNS_AFTER, 2]);
}

function optionsFor({ N, ghostSize, ghosts }: Case, relu: boolean) {
  const layout = { ghostSize, ghosts, total: N, firstGhost: FIRST_GHOST };
  return { ghosts: layout, firstChannel: FIRST_CHANNEL, eps: EPS, relu };
}

/** Size of the rounding errors in a normalized value: its own, and that of the mean it was centred with. */
function normalizedScale(c: Case, { mean, variance }: { mean: Float64Array; variance: Float64Array }, gamma: Float32Array) {
  const offset = largest(Array.from(mean, (m, i) => m / Math.sqrt(variance[i] + EPS)));
  return largest(gamma) * (largest(Array.from(variance, () => 1)) + offset / Math.sqrt(c.N * c.HW) + 5);
}

/** The layer's block of the table, split into means and variances; everything around it must be untouched. */
function layerStatistics(table: Float32Array, { C, ghosts }: Case) {
  const columns = FIRST_CHANNEL + C + COLUMNS_AFTER;
  const mean = new Float32Array(ghosts * C);
  const variance = new Float32Array(ghosts * C);
  for (let i = 0; i < table.length / 2; i++) {
    const g = Math.floor(i / columns) - FIRST_GHOST;
    const c = (i % columns) - FIRST_CHANNEL;
    if (g >= 0 && g < ghosts && c >= 0 && c < C) {
      mean[g * C + c] = table[2 * i];
      variance[g * C + c] = table[2 * i + 1];
    } else {
      expect([table[2 * i], table[2 * i + 1]], `neighbour of the statistics at ${i}`).toEqual([Number.NaN, Number.NaN]);
    }
  }
  return { mean, variance };
}

function expectStatistics(table: Float32Array, c: Case, x: Float32Array) {
  const reference = ghostStatistics(x, c);
  const { mean, variance } = layerStatistics(table, c);
  // The one-pass sums are taken around each group's first value: what is rounded is of the size of its distance.
  let spread = 0;
  for (let g = 0; g < c.ghosts; g++) {
    for (let channel = 0; channel < c.C; channel++) {
      const i = g * c.C + channel;
      const first = x[(ghostRange(g, c).start * c.C + channel) * c.HW];
      spread = Math.max(spread, reference.variance[i] + (first - reference.mean[i]) ** 2);
    }
  }
  const terms = c.N * c.HW;
  const meanBound = roundingBound({ terms: 1, scale: largest(reference.mean) + Math.sqrt(spread) });
  expectClose(mean, reference.mean, { bound: meanBound, label: `${name(c)} mean`, shape: [c.ghosts, c.C] });
  const varianceBound = roundingBound({ terms: Math.min(terms, 64), scale: spread });
  expectClose(variance, reference.variance, { bound: varianceBound, label: `${name(c)} variance`, shape: [c.ghosts, c.C] });
  return reference;
}

describe.each(VARIANTS)("ghost batch norm, %s", (variant) => {
  beforeAll(() => {
    gpu.variant = variant;
  });

  describe.each(CASES.map((c) => [name(c), c] as const))("%s", (_, c) => {
    test.each([
      { relu: false, residual: false },
      { relu: true, residual: false },
      { relu: true, residual: true },
      { relu: false, residual: true },
    ])("relu $relu, residual $residual", async ({ relu, residual }) => {
      const { host, onGpu, shape } = inputs(c);
      const options = optionsFor(c, relu);
      const partials = partialsShape(onGpu.x, options.ghosts);
      const forward = (fused: boolean) => {
        const statistics = tableFor(c);
        const y = poisoned(shape);
        const scratch = partials ? { partials: poisoned(partials) } : {};
        const t = { x: onGpu.x, gamma: onGpu.gamma, beta: onGpu.beta, statistics, y, ...scratch };
        const all = residual ? { ...t, residual: onGpu.residual } : t;
        if (fused) {
          launchForward(all, options);
        } else {
          launchStatistics(all, options);
          launchNormalize(all, options);
        }
        return { y, statistics };
      };
      const added = residual ? { residual: host.residual } : {};
      const reference = ghostBatchNorm({ ...host, ...added, residual: residual ? host.residual : undefined! }, { ...c, eps: EPS, relu });

      for (const fused of [true, false]) {
        const { y, statistics } = forward(fused);
        const got = expectStatistics(await readFloats(statistics), c, host.x);
        const bound = roundingBound({ terms: 4, scale: normalizedScale(c, got, host.gamma) });
        expectClose(await readFloats(y), reference.y, { bound, label: `${name(c)} y`, shape });
        const again = forward(fused);
        expect(await readFloats(again.y), "the same bits on a second run").toEqual(await readFloats(y));

        await checkBackward({ c, relu, residual, fused, host, onGpu, shape, statistics, y });
      }
    });
  });
});

interface BackwardCheck {
  c: Case;
  relu: boolean;
  residual: boolean;
  fused: boolean;
  host: ReturnType<typeof inputs>["host"];
  onGpu: ReturnType<typeof inputs>["onGpu"];
  shape: number[];
  statistics: Tensor;
  y: Tensor;
}

async function checkBackward({ c, relu, residual, fused, host, onGpu, shape, statistics, y }: BackwardCheck) {
  const yHost = await readFloats(y);
  const reference = ghostBatchNormGradients({ ...host, y: yHost }, { ...c, eps: EPS, relu });
  const { variance } = ghostStatistics(host.x, c);
  const inverse = largest(Array.from(variance, (v) => 1 / Math.sqrt(v + EPS)));
  const dxScale = 3 * largest(host.dy) * largest(host.gamma) * inverse * 5; // terms with |x̂| up to 5
  const values = c.N * c.HW;
  const sumScale = largest(host.dy) * 5;

  for (const accumulate of [false, true]) {
    const make = (of: readonly number[]) =>
      accumulate ? fromArray(gpu, new Float32Array(of.reduce((a, b) => a * b, 1)).fill(0.75), of) : poisoned(of);
    const run = () => {
      const [dx, dresidual, dgamma, dbeta] = [make(shape), make(shape), make([c.C]), make([c.C])];
      const sums = poisoned(sumsShape(onGpu.x, optionsFor(c, relu).ghosts));
      const { x, dy, gamma, beta } = onGpu;
      const t = { x, dy, statistics, gamma, beta, sums, dx, dgamma, dbeta };
      const all = residual ? { ...t, residual: { y, dresidual } } : t;
      const options = {
        ...optionsFor(c, relu),
        accumulate,
        accumulateResidual: accumulate,
        accumulateParameters: accumulate,
      };
      if (fused) {
        launchBackward(all, options);
      } else {
        launchGradStatistics(residual ? { ...t, y } : t, options);
        launchGradInput(all, options);
      }
      return { dx, dresidual, dgamma, dbeta };
    };
    const got = run();
    const offset = accumulate ? 0.75 : 0;
    const moved = (of: Float64Array) => of.map((v) => v + offset);
    const label = (tensor: string) => `${name(c)} ${tensor}${accumulate ? " accumulated" : ""}`;
    const dx = await readFloats(got.dx);
    const dxBound = roundingBound({ terms: 4, scale: dxScale + offset });
    expectClose(dx, moved(reference.dx), { bound: dxBound, label: label("dx"), shape });
    const bound = roundingBound({ terms: values, scale: sumScale });
    expectClose(await readFloats(got.dgamma), moved(reference.dgamma), { bound, label: label("dgamma") });
    expectClose(await readFloats(got.dbeta), moved(reference.dbeta), { bound, label: label("dbeta") });
    if (residual) {
      const exact = roundingBound({ terms: 1, scale: accumulate ? 4 : 0 });
      expectClose(await readFloats(got.dresidual), moved(reference.dresidual), { bound: exact, label: label("dresidual") });
    }
    const again = run();
    expect(await readFloats(again.dx), "the same bits on a second run").toEqual(dx);
    expect(await readFloats(again.dgamma)).toEqual(await readFloats(got.dgamma));
  }
}

describe.each(VARIANTS)("evaluation, %s", (variant) => {
  test.each(CASES.slice(0, 10).map((c) => [name(c), c] as const))("%s", async (_, c) => {
    gpu.variant = variant;
    const { host, onGpu, shape } = inputs(c);
    const data = randomData(7);
    const columns = FIRST_CHANNEL + c.C + COLUMNS_AFTER;
    const mean = data.normals(columns, { mean: c.mean ?? 0.5 });
    const spread = data.uniforms(columns, 0.5, 4);
    for (const [relu, residual] of [[false, false], [true, false], [true, true]] as const) {
      const y = poisoned(shape);
      const t = { ...onGpu, runningMean: fromArray(gpu, mean), runningVariance: fromArray(gpu, spread), y };
      const { residual: added, ...plain } = t;
      launchAffine(residual ? { ...plain, residual: added } : plain, { firstChannel: FIRST_CHANNEL, eps: EPS, relu });
      const own = { runningMean: mean.subarray(FIRST_CHANNEL), runningVariance: spread.subarray(FIRST_CHANNEL) };
      const { residual: addedHost, ...plainHost } = { ...host, ...own };
      const reference = evaluateBatchNorm(residual ? { ...plainHost, residual: addedHost } : plainHost, { ...c, eps: EPS, relu });
      const bound = roundingBound({ terms: 4, scale: largest(reference) + 20 });
      expectClose(await readFloats(y), reference, { bound, label: `${name(c)} evaluated`, shape });
    }
  });
});

describe.each(VARIANTS)("running statistics, %s", (variant) => {
  const RULES: readonly RunningRule[] = ["sequential", "mean", "full", "composer", "paper-literal"];

  // Two layers side by side, of 3 channels with 16 pixels and 4 without; a last ghost of another size.
  test.each(RULES)("%s follows the reference over three steps", async (rule) => {
    gpu.variant = variant;
    const layers = [{ C: 3, HW: 16 }, { C: 4, HW: 1 }];
    const layout = { ghostSize: 6, ghosts: 3, total: 20 };
    const data = randomData(11);
    const columns = 7;
    const pixels = fromArray(gpu, Uint32Array.from([16, 16, 16, 1, 1, 1, 1]));
    const runningMean = fromArray(gpu, data.normals(columns));
    const runningVariance = fromArray(gpu, data.uniforms(columns, 0.5, 2));
    let [oldMean, oldVariance] = [await readFloats(runningMean), await readFloats(runningVariance)];
    for (let step = 0; step < 3; step++) {
      const mean = data.normals(3 * columns, { mean: 1 });
      const variance = data.uniforms(3 * columns, 0.2, 3);
      const pairs = Float32Array.from({ length: 2 * 4 * columns }, (_, i) =>
        i < 2 * 3 * columns ? (i % 2 === 0 ? mean : variance)[i >> 1] : Number.NaN,
      );
      const statistics = fromArray(gpu, pairs, [4, columns, 2]); // a row more than there are ghosts
      launchRunningStatistics({ statistics, pixels, runningMean, runningVariance, ghosts: layout }, { rule, momentum: 0.1 });
      let first = 0;
      const expectedMean = new Float64Array(columns);
      const expectedVariance = new Float64Array(columns);
      for (const { C, HW } of layers) {
        const cut = (of: Float32Array) =>
          Float64Array.from({ length: 3 * C }, (_, i) => of[Math.floor(i / C) * columns + first + (i % C)]);
        const next = updateRunningStatistics(
          {
            mean: cut(mean),
            variance: cut(variance),
            runningMean: oldMean.subarray(first, first + C),
            runningVariance: oldVariance.subarray(first, first + C),
          },
          { N: 20, C, HW, ghostSize: 6, ghosts: 3, rule, momentum: 0.1, eps: EPS },
        );
        expectedMean.set(next.runningMean, first);
        expectedVariance.set(next.runningVariance, first);
        first += C;
      }
      [oldMean, oldVariance] = [await readFloats(runningMean), await readFloats(runningVariance)];
      const bound = roundingBound({ terms: 6, scale: 4 });
      expectClose(oldMean, expectedMean, { bound, label: `${rule} mean, step ${step}` });
      expectClose(oldVariance, expectedVariance, { bound, label: `${rule} variance, step ${step}` });
    }
  });

  // SPEC T3: 400 updates from statistics that never change.
  test.each([
    ["sequential", 1], ["mean", 1], ["full", 1], ["composer", 1], ["paper-literal", 0.869],
  ] as const)("%s settles at %d of the truth", async (rule, share) => {
    gpu.variant = variant;
    const K = 32;
    const HW = 1024;
    const ghosts = { ghostSize: 128, ghosts: K, total: K * 128 };
    const unbias = (128 * HW - 1) / (128 * HW);
    const statistics = fromArray(gpu, Float32Array.from({ length: 2 * K }, (_, i) => (i % 2 === 0 ? 3 : 4 * unbias)), [K, 1, 2]);
    const t = {
      statistics,
      pixels: fromArray(gpu, Uint32Array.of(HW)),
      runningMean: fromArray(gpu, Float32Array.of(0)),
      runningVariance: fromArray(gpu, Float32Array.of(1)),
      ghosts,
    };
    for (let update = 0; update < 400; update++) launchRunningStatistics(t, { rule, momentum: 0.1 });
    const [mean] = await readFloats(t.runningMean);
    const [variance] = await readFloats(t.runningVariance);
    expect(mean / 3).toBeGreaterThan(share - 1e-3);
    expect(mean / 3).toBeLessThan(share + 1e-3);
    expect(Math.sqrt(variance / 4)).toBeGreaterThan(share - 1e-3);
    expect(Math.sqrt(variance / 4)).toBeLessThan(share + 1e-3);
  });
});
