// Quantities behind the paper's argument, measured at small scale (docs/PAPER.md): equation 4, multiplicative noise, the noise
// scale, mean over deviation, random directions. Each criterion must also reject a method that is wired wrongly.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { drawBatch, measureCovariance } from "../../src/measure/covariance.ts";
import { GradientMoments, meanToDeviation, noiseScale } from "../../src/measure/gradient-noise-scale.ts";
import { type MeasuredPoint, pointAfter } from "../../src/measure/point.ts";
import { GradientProbe } from "../../src/measure/probe.ts";
import { measureDirections, norm } from "../../src/measure/random-directions.ts";
import { measureSharpness } from "../../src/measure/sharpness.ts";
import { cellSpec } from "../../src/paper/columns.ts";
import { ROWS } from "../../src/paper/table1.ts";
import { readFloats } from "../../src/tensor/tensor.ts";

const GHOST = 32;
const spec = cellSpec(ROWS["f1"]!, { column: "SB", scale: "small", seed: 0 });

let gpu: Gpu;
let trained: MeasuredPoint;
beforeAll(async () => {
  gpu = await openGpu();
  trained = await pointAfter(gpu, spec, 1, undefined);
});

function report(line: string): void {
  process.stdout.write(`measurements: ${line}\n`);
}

describe("equation 4: the covariance falls as 1/M", () => {
  const options = { batchSizes: [32, 128, 512, 2048], draws: 32, seed: 0 };

  test("with ghosts to within 0.05 of the exponent; without, M·tr falls by a fifth or more", async () => {
    const ghosts = await measureCovariance(trained.state, trained.data, { ...options, ghostSize: GHOST });
    const whole = await measureCovariance(trained.state, trained.data, { ...options, ghostSize: null });
    for (const { ghostSize, slope, slopeError, points } of [ghosts, whole]) {
      report(
        `ghosts ${ghostSize}: slope ${slope.toFixed(3)} ± ${slopeError.toFixed(3)}, M·tr ${points.map(({ scaled }) => scaled.toFixed(2)).join(", ")}`,
      );
    }
    expect(Math.abs(ghosts.slope + 1)).toBeLessThanOrEqual(0.05);
    const scaled = whole.points.map((point) => point.scaled);
    expect(scaled.at(-1)! / scaled[0]!).toBeLessThanOrEqual(0.8);
    // The criterion for ghosts must reject statistics over the whole batch.
    expect(Math.abs(whole.slope + 1)).toBeGreaterThan(0.05);
  });

  test("multiplicative noise gives the large batch the small one's covariance: within 12 %", async () => {
    const large = 1024;
    const traceOf = async (batchSize: number, deviation: number) => {
      const one = {
        batchSizes: [batchSize],
        ghostSize: GHOST,
        // The trace of small batches scatters more, because a few of their gradients are much larger than the others.
        draws: batchSize === GHOST ? 600 : 80,
        seed: 1,
        gradientNoise: () => deviation,
      };
      return (await measureCovariance(trained.state, trained.data, one)).points[0]!.trace;
    };
    const small = await traceOf(GHOST, 0);
    const noisy = await traceOf(large, Math.sqrt(large / GHOST - 1));
    const weak = await traceOf(large, Math.sqrt(large / GHOST) / 2);
    report(
      `trace ${small.toFixed(3)} at ${GHOST}, ${noisy.toFixed(3)} at ${large} with noise, ${weak.toFixed(3)} with noise of half the deviation`,
    );
    expect(Math.abs(noisy / small - 1)).toBeLessThanOrEqual(0.12);
    // A σ of half the size must be rejected.
    expect(Math.abs(weak / small - 1)).toBeGreaterThan(0.12);
  });
});

describe("mean and deviation of the gradient", () => {
  test("the noise scale from pairs of batches is that from all gradients, within 15 %", async () => {
    const probe = await GradientProbe.create(trained.state, trained.data, {
      batchSize: GHOST,
      ghostSize: GHOST,
    });
    const all = new GradientMoments(trained.state.gradients.size);
    const rounds = [];
    const samples = trained.data.train.count;
    // From other batches than the estimate below, so that it is not compared with itself.
    for (let draw = 0; draw < 480; draw++) {
      all.add((await probe.gradient(drawBatch(GHOST, samples, { seed: 3, draw }))).gradient);
    }
    for (let round = 0; round < 60; round++) {
      const moments = new GradientMoments(trained.state.gradients.size);
      for (let i = 0; i < 8; i++) {
        const batch = drawBatch(GHOST, samples, { seed: 2, draw: 8 * round + i });
        moments.add((await probe.gradient(batch)).gradient);
      }
      rounds.push({ small: moments.squares / moments.count, large: moments.squaredMean });
    }
    const direct = (all.trace * GHOST) / (all.squaredMean - all.trace / all.count);
    const { scale, interval } = noiseScale(rounds, { small: GHOST, large: 8 * GHOST });
    const squaredGradient = all.squaredMean - all.trace / all.count;
    const large = await GradientProbe.create(trained.state, trained.data, {
      batchSize: 1024,
      ghostSize: GHOST,
    });
    const largeMoments = new GradientMoments(trained.state.gradients.size);
    for (let draw = 0; draw < 24; draw++) {
      largeMoments.add((await large.gradient(drawBatch(1024, samples, { seed: 4, draw }))).gradient);
    }
    const ratios = [all, largeMoments].map(({ trace }) => Math.sqrt(squaredGradient / trace));
    report(
      `noise scale ${scale?.toFixed(0)} [${interval?.low.toFixed(0)}, ${interval?.high.toFixed(0)}], direct ${direct.toFixed(0)}; mean over deviation ${ratios.map((ratio) => ratio.toFixed(2)).join(" at 32, ")} at 1024`,
    );
    expect(Math.abs(scale! / direct - 1)).toBeLessThanOrEqual(0.15);
    expect(interval!.low).toBeLessThan(direct);
    expect(interval!.high).toBeGreaterThan(direct);
    // The paper's E[Δw] ≪ deviation holds for the small batch and not for the large one.
    expect(ratios[0]).toBeLessThan(0.5);
    expect(ratios[1]).toBeGreaterThan(1);
    // As √B: within 12 %, the scatter of a trace over 24 batches.
    expect(Math.abs(ratios[1]! / meanToDeviation(1024, direct) - 1)).toBeLessThan(0.12);
  });
});

describe("the loss along random directions", () => {
  test("near the start the spread is the Taylor line, within 15 %; at long range it is not", async () => {
    const { state, data } = await pointAfter(gpu, spec, 0, undefined);
    const probe = await GradientProbe.create(state, data, { batchSize: 512, ghostSize: GHOST });
    const samples = Uint32Array.from({ length: 512 }, (_, i) => i);
    const before = await readFloats(state.values);
    const start = norm(before);
    const near = await measureDirections(state, probe, samples, {
      kind: "unit",
      range: 0.02 * start,
      directions: 160,
      seed: 0,
      bins: 4,
    });
    const far = await measureDirections(state, probe, samples, {
      kind: "unit",
      range: start,
      directions: 200,
      seed: 0,
      bins: 4,
    });
    expect(await readFloats(state.values)).toEqual(before);
    report(
      `‖w₀‖ ${start.toFixed(2)}, slope ${near.slope.toExponential(2)}, Taylor ${near.taylorSlope.toExponential(2)}, exponents ${near.exponent.toFixed(2)} and ${far.exponent.toFixed(2)}, left at ${far.leavesTaylorAt?.toFixed(1)}, over Taylor's ${far.bins.map(({ deviation, distance }) => (deviation / distance / far.taylorSlope).toFixed(2)).join(", ")}; curvature ${far.curvature.toExponential(1)} ± ${far.curvatureError.toExponential(1)}`,
    );
    expect(Math.abs(near.slope / near.taylorSlope - 1)).toBeLessThanOrEqual(0.15);
    expect(Math.abs(near.exponent - 1)).toBeLessThan(0.2);
    expect(near.leavesTaylorAt).toBeNull();
    expect(far.leavesTaylorAt).not.toBeNull();
    // The gradient of another function, with batch norm over all 512, must be rejected.
    const other = await GradientProbe.create(state, data, { batchSize: 512, ghostSize: 512 });
    const { gradient } = await other.gradient(samples);
    report(
      `norm of the gradient ${near.gradientNorm.toFixed(3)}, with statistics shared across ghosts ${norm(gradient).toFixed(3)}`,
    );
    expect(norm(gradient)).not.toBeCloseTo(near.gradientNorm, 3);
  });

  test("sharpness is above 0, larger in a larger box and in more dimensions; scaling the weights changes Keskar's, but not the scale-free one", async () => {
    const { state, data } = trained;
    const probe = await GradientProbe.create(state, data, { batchSize: 512, ghostSize: GHOST });
    const samples = Uint32Array.from({ length: 512 }, (_, i) => i);
    const at = (space: "full" | "random" | "scale-free", epsilon: number) =>
      measureSharpness(state, probe, samples, { space, epsilon, seed: 0 });
    const [wide, narrow, random, free] = [
      await at("full", 1e-3),
      await at("full", 5e-4),
      await at("random", 1e-3),
      await at("scale-free", 1e-2),
    ];
    report(
      `sharpness ${[wide, narrow, random, free].map(({ sharpness }) => sharpness.toFixed(3)).join(", ")}`,
    );
    expect(narrow.sharpness).toBeGreaterThan(0);
    expect(wide.sharpness).toBeGreaterThan(narrow.sharpness);
    expect(wide.sharpness).toBeGreaterThan(random.sharpness);

    // Weights and biases before batch norm times 3: the same function, except for batch norm's ε.
    const before = await readFloats(state.values);
    const scaled = Float32Array.from(before);
    const linear = state.parameters.filter(([name]) => /^layers\.(0|3|6)\./.test(name));
    expect(linear.length).toBe(6);
    for (const [, { value, size }] of linear) {
      for (let i = value.byteOffset / 4; i < value.byteOffset / 4 + size; i++) scaled[i]! *= 3;
    }
    gpu.write(state.values, scaled);
    const [wideScaled, freeScaled] = [await at("full", 1e-3), await at("scale-free", 1e-2)];
    gpu.write(state.values, before);
    expect(wideScaled.startLoss).toBeCloseTo(wide.startLoss, 3);
    expect(Math.abs(freeScaled.sharpness / free.sharpness - 1)).toBeLessThan(0.1);
    expect(wideScaled.sharpness).toBeLessThan(0.8 * wide.sharpness);
  });
});
