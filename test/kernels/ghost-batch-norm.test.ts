// Ghost batch norm on the GPU against float64, in both variants: every single pass and the fused ones.

import { afterAll, describe, expect, test } from "vitest";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import {
  launchAffine,
  launchForward,
  launchNormalize,
  launchStatistics,
  partialsShape,
} from "../../src/kernels/ghost-batch-norm.ts";
import { launchBackward, launchGradParameters } from "../../src/kernels/ghost-batch-norm-backward.ts";
import {
  launchGradInput,
  launchGradStatistics,
  sumsShape,
} from "../../src/kernels/ghost-batch-norm-gradients.ts";
import {
  evaluateBatchNorm,
  ghostBatchNorm,
  ghostBatchNormGradients,
  ghostStatistics,
} from "../../src/reference/ghost-batch-norm.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { fromArray, readFloats, type Tensor } from "../../src/tensor/tensor.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";

const gpu = await openGpu();
afterAll(() => gpu.close());

// The narrow kernels assume that a workgroup of 8 lanes is one subgroup.
const holdsOneSubgroup = gpu.device.features.has("subgroups") && gpu.adapter.subgroupMinSize >= 8;
const VARIANTS = holdsOneSubgroup ? (["narrow", "wide"] as const) : (["wide"] as const);
const EPS = 1e-5;

interface Case {
  readonly C: number;
  readonly HW: number;
  readonly N: number;
  readonly ghostSize: number;
  readonly ghosts: number;
  /** Mean of x, whose deviation is 2. */
  readonly mean: number;
}

// Few channel counts and plane sizes, because each is compiled. Ghosts are parameters, so their sizes cost nothing.
const CASES: readonly Case[] = [
  { C: 5, HW: 16, N: 22, ghostSize: 7, ghosts: 3, mean: 0.5 }, // a longer last ghost
  { C: 5, HW: 16, N: 10, ghostSize: 4, ghosts: 3, mean: 0.5 }, // a shorter one
  { C: 3, HW: 9, N: 11, ghostSize: 2, ghosts: 5, mean: 0.5 }, // planes that are not whole vec4s
  { C: 7, HW: 1, N: 12, ghostSize: 2, ghosts: 6, mean: 0.5 }, // statistics of two values
  { C: 7, HW: 1, N: 13, ghostSize: 13, ghosts: 1, mean: 0.5 }, // plain batch norm, prime sizes
  { C: 36, HW: 1, N: 37, ghostSize: 9, ghosts: 4, mean: 0.5 }, // dense; channels that do not fill a workgroup
  { C: 36, HW: 1, N: 140, ghostSize: 70, ghosts: 2, mean: 300 }, // |mean| = 150 σ
  { C: 2, HW: 1024, N: 6, ghostSize: 3, ghosts: 2, mean: -2000 }, // |mean| = 1000 σ
  { C: 1, HW: 4096, N: 64, ghostSize: 64, ghosts: 1, mean: 0.5 }, // several workgroups per group in the wide variant
];

// The statistics are part of a table of all layers and ghosts: here with neighbors on every side.
const FIRST_GHOST = 2;
const FIRST_CHANNEL = 3;
const COLUMNS_AFTER = 2;

function name({ N, C, HW, ghostSize, ghosts }: Case): string {
  return `(${N}, ${C}, ${HW}) in ${ghosts} of ${ghostSize}`;
}

function filled(shape: readonly number[], value: number): Tensor {
  return fromArray(gpu, new Float32Array(sizeOf(shape)).fill(value), shape);
}

/** Full of NaN, so that an unwritten element fails every comparison. */
function poisoned(shape: readonly number[]): Tensor {
  return filled(shape, Number.NaN);
}

function inputs({ N, C, HW, mean }: Case) {
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

/** Scale of the rounding errors of x̂: x̂ itself, up to 5 σ, plus the mean in units of σ. */
function normalizedScale({ mean, variance }: { mean: Float64Array; variance: Float64Array }): number {
  return 5 + largest(mean.map((m, i) => m / Math.sqrt(variance[i] + EPS)));
}

async function expectSameBits(one: Tensor, other: Tensor): Promise<void> {
  const [a, b] = [await gpu.read(one), await gpu.read(other)];
  expect(Buffer.compare(Buffer.from(a), Buffer.from(b)), "a second run has other bits").toBe(0);
}

/** The layer's block of the table, split into means and variances. Everything around it must be untouched. */
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
      const neighbour = [table[2 * i], table[2 * i + 1]];
      expect(neighbour, `neighbour of the statistics at ${i}`).toEqual([Number.NaN, Number.NaN]);
    }
  }
  return { mean, variance };
}

function expectStatistics(table: Float32Array, c: Case, x: Float32Array) {
  const reference = ghostStatistics(x, c);
  const { mean, variance } = layerStatistics(table, c);
  // Sums are relative to the mean of a few values, which is within a few σ of the mean of all.
  const spread = 4 * largest(reference.variance);
  const meanBound = roundingBound({ terms: 1, scale: largest(reference.mean) + Math.sqrt(spread) });
  expectClose(mean, reference.mean, { bound: meanBound, label: `${name(c)} mean`, shape: [c.ghosts, c.C] });
  const varianceBound = roundingBound({ terms: 4, scale: spread });
  expectClose(variance, reference.variance, {
    bound: varianceBound,
    label: `${name(c)} variance`,
    shape: [c.ghosts, c.C],
  });
  return reference;
}

const FUSIONS = [
  { relu: false, residual: false },
  { relu: true, residual: false },
  { relu: true, residual: true },
];

describe.each(VARIANTS)("ghost batch norm, %s", (variant) => {
  test.each(CASES.flatMap((c) => FUSIONS.map((fusion) => ({ ...c, ...fusion }))))(
    "($N, $C, $HW) in $ghosts of $ghostSize, relu $relu, residual $residual",
    async ({ relu, residual, ...c }) => {
      gpu.variant = variant;
      const { host, onGpu, shape } = inputs(c);
      const { x, gamma, beta } = onGpu;
      const options = optionsFor(c, relu);
      const added = residual ? { residual: onGpu.residual } : {};
      const { residual: hostResidual, ...plain } = host;
      const reference = ghostBatchNorm(residual ? host : plain, { ...c, eps: EPS, relu });
      const partials = partialsShape(x, options.ghosts);
      const forward = (passes: "fused" | "single") => {
        const scratch = partials ? { partials: poisoned(partials) } : {};
        const t = { x, gamma, beta, ...added, ...scratch, statistics: tableFor(c), y: poisoned(shape) };
        if (passes === "fused") {
          launchForward(t, options);
        } else {
          launchStatistics(t, options);
          launchNormalize(t, options);
        }
        return t;
      };

      for (const passes of ["single", "fused"] as const) {
        const { y, statistics } = forward(passes);
        const found = expectStatistics(await readFloats(statistics), c, host.x);
        const scale =
          largest(host.gamma) * normalizedScale(found) + largest(host.beta) + largest(hostResidual);
        expectClose(await readFloats(y), reference.y, {
          bound: roundingBound({ terms: 1, scale }),
          label: `${name(c)} y`,
          shape,
        });
        const again = forward(passes);
        await expectSameBits(again.y, y);
        await checkBackward({ c, relu, residual, passes, host, onGpu, shape, statistics, y });
      }
    },
  );
});

interface BackwardCheck extends ReturnType<typeof inputs> {
  readonly c: Case;
  readonly relu: boolean;
  readonly residual: boolean;
  readonly passes: "fused" | "single";
  readonly statistics: Tensor;
  readonly y: Tensor;
}

/** Gradients against the reference: first written over poison, then added to existing values. */
async function checkBackward({
  c,
  relu,
  residual,
  passes,
  host,
  onGpu,
  shape,
  statistics,
  y,
}: BackwardCheck) {
  const { x, dy, gamma, beta } = onGpu;
  const reference = ghostBatchNormGradients({ ...host, y: await readFloats(y) }, { ...c, eps: EPS, relu });
  const found = ghostStatistics(host.x, c);
  const scale = normalizedScale(found);
  const inverse = largest(found.variance.map((v) => 1 / Math.sqrt(v + EPS)));
  // dx: three terms of the size of dy, the last with x̂ twice. The sums: as many terms as values.
  const dxScale = largest(host.gamma) * inverse * largest(host.dy) * (2 + 5 * scale);
  const sumScale = Math.sqrt(c.N * c.HW) * largest(host.dy) * scale;

  for (const start of [Number.NaN, 0.75]) {
    const accumulate = !Number.isNaN(start);
    const run = () => {
      const [dx, dresidual] = [filled(shape, start), filled(shape, start)];
      const [dgamma, dbeta] = [filled([c.C], start), filled([c.C], start)];
      const sums = poisoned(sumsShape(x, optionsFor(c, relu).ghosts));
      const t = { x, dy, statistics, gamma, beta, sums, dx, dgamma, dbeta };
      const all = residual ? { ...t, residual: { y, dresidual } } : t;
      const sinks = { accumulate, accumulateResidual: accumulate, accumulateParameters: accumulate };
      const options = { ...optionsFor(c, relu), ...sinks };
      if (passes === "fused") {
        launchBackward(all, options);
      } else {
        launchGradStatistics(residual ? { ...t, y } : t, options);
        launchGradInput(all, options);
        launchGradParameters(all, options, "pairs");
      }
      return { dx, dresidual, dgamma, dbeta };
    };
    const got = run();
    const check = async (tensor: keyof typeof got, terms: number, size: number) => {
      const expected = accumulate ? reference[tensor].map((v) => v + start) : reference[tensor];
      const bound = roundingBound({ terms, scale: size + (accumulate ? start : 0) });
      const label = `${name(c)} ${tensor}${accumulate ? ", accumulated" : ""}`;
      expectClose(await readFloats(got[tensor]), expected, { bound, label, shape: got[tensor].shape });
    };
    await check("dx", 1, dxScale);
    await check("dgamma", 1, sumScale);
    await check("dbeta", 1, sumScale);
    if (residual) await check("dresidual", 1, accumulate ? largest(host.dy) : 0);
    const again = run();
    await expectSameBits(again.dx, got.dx);
    await expectSameBits(again.dgamma, got.dgamma);
  }
}

describe.each(VARIANTS)("evaluation, %s", (variant) => {
  test.each(CASES)("($N, $C, $HW)", async (c) => {
    gpu.variant = variant;
    const { host, onGpu, shape } = inputs(c);
    const data = randomData(7);
    const columns = FIRST_CHANNEL + c.C + COLUMNS_AFTER;
    const mean = data.normals(columns, { mean: c.mean });
    const spread = data.uniforms(columns, 0.5, 4);
    const runningMean = fromArray(gpu, mean);
    const runningVariance = fromArray(gpu, spread);
    const own = {
      runningMean: mean.subarray(FIRST_CHANNEL),
      runningVariance: spread.subarray(FIRST_CHANNEL),
    };
    for (const { relu, residual } of FUSIONS) {
      const y = poisoned(shape);
      const added = residual ? { residual: onGpu.residual } : {};
      const { x, gamma, beta } = onGpu;
      const t = { x, gamma, beta, runningMean, runningVariance, y, ...added };
      launchAffine(t, { firstChannel: FIRST_CHANNEL, eps: EPS, relu });
      const { residual: addedHost, ...plain } = { ...host, ...own };
      const all = residual ? { ...plain, residual: addedHost } : plain;
      const reference = evaluateBatchNorm(all, { ...c, eps: EPS, relu });
      const bound = roundingBound({ terms: 4, scale: largest(reference) + 2 * Math.abs(c.mean) + 20 });
      expectClose(await readFloats(y), reference, { bound, label: `${name(c)} evaluated`, shape });
    }
  });
});
