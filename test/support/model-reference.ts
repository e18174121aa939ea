// Float64 reference of one training step of a whole network with ghost batch norm, built from the references in src/reference/.
// Independent of the rest of src/. The networks are in test/support/reference-networks.ts.

import { type GhostLayout, ghostRange, type RunningRule } from "../../src/reference/ghost-batch-norm.ts";
import { updateRunningStatistics } from "../../src/reference/running-statistics.ts";
import { type SgdOptions, sgdStep } from "../../src/reference/sgd.ts";
import { softmaxCrossEntropy } from "../../src/reference/softmax-cross-entropy.ts";
import { backward, type LayerStatistics, leaf, type Pass } from "./reference-graph.ts";
import type { ReferenceModel } from "./reference-networks.ts";

export interface ReferenceBatch {
  /** [N, ...inputShape] */
  readonly x: ArrayLike<number>;
  /** [N] */
  readonly labels: ArrayLike<number>;
}

export interface GhostOptions {
  /** Samples in a ghost; ghost g covers [g·ghostSize, (g + 1)·ghostSize). */
  readonly ghostSize: number;
  /** Number of ghosts, the last one running to N; ⌈N / ghostSize⌉ where left out. */
  readonly ghosts?: number;
  /** `samples`: every sample weighs 1/N. `ghosts`: the mean of the ghosts' means. Default `samples`. */
  readonly averaging?: "samples" | "ghosts";
  /** Default: each ghost goes through the network by itself, as in the released code; else all of them at once. */
  readonly atOnce?: boolean;
  /** Default 1e-5, PyTorch's. */
  readonly eps?: number;
}

/**
 * Loss of a batch in training mode and its gradients. Changes nothing in the model.
 *
 * @returns loss; gradients by parameter name; statistics of every layer's ghosts, [G, C]; logits [N, classes]
 */
export function lossAndGradients(model: ReferenceModel, batch: ReferenceBatch, options: GhostOptions) {
  const gradients = new Map<string, Float64Array>();
  const logits = new Float64Array(batch.labels.length * model.classes);
  const statistics: Map<string, LayerStatistics>[] = [];
  let loss = 0;
  for (const { pass, output, head, start } of forwardParts(model, batch, options, gradients)) {
    backward(pass, output, head.dlogits);
    loss += head.loss;
    logits.set(output.data, start * model.classes);
    statistics.push(pass.statistics);
  }
  return { loss, gradients, logits, statistics: joinGhosts(statistics) };
}

/** The loss of `lossAndGradients` alone. */
export function trainingLoss(model: ReferenceModel, batch: ReferenceBatch, options: GhostOptions): number {
  let loss = 0;
  for (const { head } of forwardParts(model, batch, options, new Map())) loss += head.loss;
  return loss;
}

/** Momentum and weight decay of `sgdStep`, and how the running statistics follow. */
export interface StepOptions extends GhostOptions, SgdOptions {
  /** a of the running statistics; default 0.1, PyTorch's. */
  readonly runningMomentum?: number;
  /** Default `sequential`. */
  readonly rule?: RunningRule;
}

/**
 * One whole training step: forward, backward, clip, momentum SGD, running statistics. Changes the model and
 * `velocity` (all parameters one after the other; zeros before the first step) in place.
 *
 * @returns loss and norm of the gradient before the step and the clip; the gradients, not clipped, by name
 */
export function trainingStep(
  model: ReferenceModel,
  velocity: Float64Array,
  batch: ReferenceBatch,
  options: StepOptions,
): { loss: number; gradientNorm: number; gradients: Map<string, Float64Array> } {
  const { runningMomentum = 0.1, rule = "sequential", eps = 1e-5 } = options;
  const { loss, gradients, statistics } = lossAndGradients(model, batch, options);
  const flat = flatten([...model.parameters.keys()].map((name) => gradients.get(name) as Float64Array));
  const stepped = sgdStep({ parameters: flatParameters(model), gradients: flat, velocity }, options);
  velocity.set(stepped.velocity);
  let at = 0;
  for (const { data } of model.parameters.values()) {
    data.set(stepped.parameters.subarray(at, at + data.length));
    at += data.length;
  }

  const layout = ghostLayout(batch, options);
  for (const [name, { mean, variance, C, HW }] of statistics) {
    const running = model.running.get(name);
    if (!running) throw new Error(`reference model: no running statistics of ${name}`);
    const settings = { ...layout, C, HW, rule, momentum: runningMomentum, eps };
    const updated = updateRunningStatistics({ mean, variance, ...running }, settings);
    running.runningMean.set(updated.runningMean);
    running.runningVariance.set(updated.runningVariance);
  }
  return { loss, gradientNorm: stepped.gradientNorm, gradients };
}

/** Logits [N, classes] in evaluation: running statistics, no ghosts. */
export function evaluate(model: ReferenceModel, x: ArrayLike<number>, eps = 1e-5): Float64Array {
  const pass = newPass(model, null, eps, new Map());
  const N = x.length / model.inputShape.reduce((product, extent) => product * extent, 1);
  return model.network(pass, leaf(Float64Array.from(x), [N, ...model.inputShape])).data;
}

/** All parameters one after the other, a copy. */
export function flatParameters(model: ReferenceModel): Float64Array {
  return flatten([...model.parameters.values()].map(({ data }) => data));
}

/** Parameters and running statistics by the names of PyTorch's state dict; the arrays are the model's own. */
export function stateDict(model: ReferenceModel): Map<string, Float64Array> {
  const state = new Map<string, Float64Array>();
  for (const [name, { data }] of model.parameters) state.set(name, data);
  for (const [name, { runningMean, runningVariance }] of model.running) {
    state.set(`${name}.running_mean`, runningMean);
    state.set(`${name}.running_var`, runningVariance);
  }
  return state;
}

/** Forward and loss of each part of a batch: of one ghost after the other, or of all at once. */
function* forwardParts(
  model: ReferenceModel,
  batch: ReferenceBatch,
  options: GhostOptions,
  gradients: Map<string, Float64Array>,
) {
  const { averaging = "samples", atOnce = false, eps = 1e-5 } = options;
  const layout = ghostLayout(batch, options);
  const { N, ghosts } = layout;
  const x = Float64Array.from(batch.x);
  const labels = Int32Array.from(batch.labels);
  const weights = new Float64Array(N);
  const ranges = Array.from({ length: ghosts }, (_, g) => ghostRange(g, layout));
  for (const { start, end } of ranges) {
    weights.fill(averaging === "samples" ? 1 / N : 1 / (ghosts * (end - start)), start, end);
  }
  for (const { start, end } of atOnce ? [{ start: 0, end: N }] : ranges) {
    const count = end - start;
    const own = atOnce ? layout : { N: count, ghostSize: count, ghosts: 1 };
    const pass = newPass(model, own, eps, gradients);
    const features = x.length / N;
    const input = leaf(x.slice(start * features, end * features), [count, ...model.inputShape]);
    const output = model.network(pass, input);
    const head = softmaxCrossEntropy(
      { logits: output.data, labels: labels.subarray(start, end), weights: weights.subarray(start, end) },
      { N: count, classes: model.classes },
    );
    yield { pass, output, head, start };
  }
}

function newPass(
  { parameters, running }: ReferenceModel,
  layout: GhostLayout | null,
  eps: number,
  gradients: Map<string, Float64Array>,
): Pass {
  return { parameters, running, layout, eps, gradients, statistics: new Map(), tape: [] };
}

function ghostLayout(batch: ReferenceBatch, { ghostSize, ghosts }: GhostOptions): GhostLayout {
  const N = batch.labels.length;
  return { N, ghostSize, ghosts: ghosts ?? Math.ceil(N / ghostSize) };
}

/** Statistics of consecutive parts of a batch, each [its ghosts, C], as one [G, C] per layer. */
function joinGhosts(parts: Map<string, LayerStatistics>[]): Map<string, LayerStatistics> {
  const joined = new Map<string, LayerStatistics>();
  for (const [name, { C, HW }] of parts[0]) {
    const all = parts.map((part) => part.get(name) as LayerStatistics);
    const mean = flatten(all.map((layer) => layer.mean));
    joined.set(name, { C, HW, mean, variance: flatten(all.map((layer) => layer.variance)) });
  }
  return joined;
}

function flatten(arrays: Float64Array[]): Float64Array {
  const flat = new Float64Array(arrays.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const array of arrays) {
    flat.set(array, at);
    at += array.length;
  }
  return flat;
}
