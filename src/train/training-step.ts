/** One training step, as the dispatches that a recording replays. */
import type { ResidentDataset } from "../data/resident.ts";
import { launchGather } from "../kernels/batch.ts";
import type { RunningRule } from "../kernels/ghost-batch-norm.ts";
import { launchGradientNoise } from "../kernels/gradient-noise.ts";
import { launchMetrics } from "../kernels/metrics.ts";
import { launchClip, launchMomentum, launchSumOfSquares, partialSums } from "../kernels/sgd.ts";
import { launchRestore } from "../kernels/skip.ts";
import { type ModelState, updateRunningStatistics } from "../nn/model-state.ts";
import type { Mode } from "../nn/module.ts";
import { l2Distance } from "../ops/l2-distance.ts";
import { softmaxCrossEntropy } from "../ops/softmax-cross-entropy.ts";
import { Tape } from "../ops/tape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { type GhostLayout, type Slab, slabs } from "./ghosts.ts";

export interface RunningStatisticsOptions {
  readonly rule: RunningRule;
  /** Weight of a new value; 0.1 is PyTorch's default. */
  readonly momentum: number;
}

/** What to do with a step whose loss or gradient norm is NaN or infinite: apply it, or skip it. */
export type OnNan = "stop" | "skip";

export interface StepTensors {
  /** [samples or more] u32: which sample stands at each position of the epoch. */
  readonly order: Tensor;
  /** The Step uniform. */
  readonly step: Tensor;
  /** [ROWS, 8]: metrics of the step in row step mod ROWS. */
  readonly log: Tensor;
}

/** The tensors of forward and backward on any batch: where a slab's samples come from, and where results go. */
export interface SlabInput {
  readonly x: Tensor;
  readonly labels: Tensor;
}

export interface BatchOptions {
  /** The most samples in one slab. */
  readonly slabSamples: number;
  /** Returns the images [n, C, H, W] and labels [n] of a slab. */
  readonly input: (slab: Slab) => SlabInput;
  /** σ of the factors z_n ~ N(1, σ²) by which samples' gradients are multiplied; 0 for none. */
  readonly gradientNoise?: number | undefined;
  /** Loss scale, a power of two; 1 by default. */
  readonly lossScale?: number | undefined;
}

/**
 * Forward and backward for one batch, or a part of one, slab by slab. Writes lossScale · ĝ, ĝ = Σ_n weight[n] · z_n · ∇L_n, to the flat
 * gradients, and the batch's metrics to the step's row of `log`. Changes no parameters and no running statistics.
 */
export function batchGradient(
  state: ModelState,
  { step, log }: Omit<StepTensors, "order">,
  layout: GhostLayout,
  { slabSamples, input, gradientNoise = 0, lossScale }: BatchOptions,
): void {
  for (const [index, slab] of slabs(layout, slabSamples).entries()) {
    const accumulate = index > 0;
    const { firstSample } = slab;
    const { x, labels } = input(slab);
    const mode: Mode = { kind: "train", ghosts: slab, firstSample, step };
    const tape = new Tape({ accumulate });
    const logits = tape.record(() => state.model.forward(x, mode));
    const weights = {
      weight: slab.weightPerSample,
      lastWeight: slab.weightPerSampleLast,
      lastStart: slab.total - slab.last,
    };
    const { dlogits, rows } = softmaxCrossEntropy(logits, labels, weights, { lossScale });
    launchMetrics({ rows, log, step }, { accumulate });
    if (gradientNoise > 0) launchGradientNoise({ dlogits, step }, { deviation: gradientNoise, firstSample });
    tape.backward(logits, dlogits);
  }
}

/** Only the metrics of one batch: forward as in training, each ghost normalized by its own statistics. */
export function batchLoss(
  state: ModelState,
  { step, log }: Omit<StepTensors, "order">,
  layout: GhostLayout,
  { slabSamples, input }: Omit<BatchOptions, "gradientNoise">,
): void {
  for (const [index, slab] of slabs(layout, slabSamples).entries()) {
    const { x, labels } = input(slab);
    const { firstSample, weightPerSample: weight, weightPerSampleLast: lastWeight } = slab;
    const logits = state.model.forward(x, { kind: "train", ghosts: slab, firstSample, step });
    const { rows } = softmaxCrossEntropy(logits, labels, {
      weight,
      lastWeight,
      lastStart: slab.total - slab.last,
    });
    launchMetrics({ rows, log, step }, { accumulate: index > 0 });
  }
}

/** What a step does with the gradient of its batch. */
export interface UpdateOptions {
  readonly running: RunningStatisticsOptions;
  /** "skip" makes a step whose loss or gradient norm is NaN or infinite change nothing. */
  readonly onNan?: OnNan | undefined;
  /** The loss scale of the gradient. */
  readonly lossScale?: number | undefined;
}

/**
 * Forward, backward and update for one batch:
 *
 *   c = min(1, clip / (‖ĝ‖ + 1e-6));  v ← m v + (c ĝ + wd w);  w ← w − η v
 *
 * Source: Hoffer et al. 2017 and its released code; the ghosts of a slab go through every kernel together.
 *
 * @param layout the ghost batches of the batch
 */
export function trainingStep(
  state: ModelState,
  tensors: Omit<StepTensors, "order">,
  layout: GhostLayout,
  { running, onNan, ...batch }: BatchOptions & UpdateOptions,
): void {
  batchGradient(state, tensors, layout, batch);
  const { lossScale } = batch;
  updateStep(state, { ...tensors, gradient: state.gradients }, layout, { running, onNan, lossScale });
}

/**
 * The second half of a step: norm and clipping of the gradient [size], running statistics, momentum SGD. A gradient that has overflowed
 * f16 is no reason to end a run, so such a step is always skipped.
 */
export function updateStep(
  state: ModelState,
  { step, log, gradient }: Omit<StepTensors, "order"> & { readonly gradient: Tensor },
  layout: GhostLayout,
  { running, onNan = "stop", lossScale }: UpdateOptions,
): void {
  const skipNonFinite = onNan === "skip" || state.activations === "f16";
  const partial = empty(state.gpu, [partialSums(gradient.size)], "f32", "norm partials");
  const clip = empty(state.gpu, [2], "f32", "clip");
  launchSumOfSquares({ x: gradient, partial });
  launchClip({ partial, clip, log, step }, { skipNonFinite, lossScale });
  const { normState } = state;
  // Like parameters, running statistics would keep the NaN of a skipped step forever.
  const guarded = skipNonFinite && normState ? [normState.runningMean, normState.runningVariance] : [];
  const kept = guarded.map((y) => ({ x: empty(state.gpu, y.shape, "f32", "kept statistics"), y }));
  for (const { x, y } of kept) launchRestore({ x: y, clip, y: x }, { always: true });
  updateRunningStatistics(state, layout, running);
  for (const { x, y } of kept) launchRestore({ x, clip, y }, { always: false });
  launchMomentum({ gradient, clip, velocity: state.velocity, value: state.values, step });
}

/** A slab of the training split, gathered and augmented on the GPU. */
export function gatherTraining(
  state: ModelState,
  data: ResidentDataset,
  tensors: StepTensors,
  augmentation: boolean,
) {
  return (slab: Slab): SlabInput => {
    const x = empty(state.gpu, [slab.total, ...data.imageShape], state.activations, "images");
    const labels = empty(state.gpu, [slab.total], "u32", "labels");
    launchGather(
      {
        ...data.train,
        normalization: data.normalization,
        order: tensors.order,
        step: tensors.step,
        x,
        batchLabels: labels,
      },
      { first: slab.firstSample, augmentation: augmentation ? data.augmentation : null },
    );
    return { x, labels };
  };
}

/** One batch of the test split with running statistics; its metrics add to row 0 of `log`. */
export function evaluationStep(
  state: ModelState,
  data: ResidentDataset,
  tensors: StepTensors,
  samples: number,
): void {
  const x = empty(state.gpu, [samples, ...data.imageShape], state.activations, "images");
  const labels = empty(state.gpu, [samples], "u32", "labels");
  launchGather(
    {
      ...data.test,
      normalization: data.normalization,
      order: tensors.order,
      step: tensors.step,
      x,
      batchLabels: labels,
    },
    { first: 0, augmentation: null },
  );
  const logits = state.model.forward(x, { kind: "eval" });
  const mean = { weight: 1 / data.test.count, lastWeight: 1 / data.test.count, lastStart: samples };
  const { rows } = softmaxCrossEntropy(logits, labels, mean);
  launchMetrics({ rows, log: tensors.log, step: tensors.step }, { accumulate: true });
}

/** ‖w − w₀‖ of the first parameter only, as the paper's code logs it, and of all: distance[0] and distance[1]. */
export function measureDistance(state: ModelState, distance: Tensor): void {
  const [first] = state.parameters[0]!.slice(1) as [(typeof state.parameters)[number][1]];
  const start = { ...state.start, size: first.size, shape: first.shape, byteLength: 4 * first.size };
  l2Distance(first.value, start, distance, 0);
  l2Distance(state.values, state.start, distance, 1);
}
