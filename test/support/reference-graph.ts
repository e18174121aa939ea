// A small float64 autograd over the references in src/reference/, from which test/support/model-reference.ts builds whole networks.
// Independent of the rest of src/.

import { addGradient, add as addValues } from "../../src/reference/add.ts";
import {
  conv2dInputGradient,
  conv2dOutputSize,
  conv2d as conv2dValues,
  conv2dWeightGradient,
} from "../../src/reference/conv2d.ts";
import {
  evaluateBatchNorm,
  type GhostLayout,
  ghostBatchNormGradients,
  ghostBatchNorm as ghostBatchNormValues,
} from "../../src/reference/ghost-batch-norm.ts";
import {
  globalAvgPoolGradient,
  globalAvgPool as globalAvgPoolValues,
} from "../../src/reference/global-avg-pool.ts";
import { linearGradients, linear as linearValues } from "../../src/reference/linear.ts";
import { reluGradient, relu as reluValues } from "../../src/reference/relu.ts";
import type { RunningStatistics } from "../../src/reference/running-statistics.ts";

/** A value on its way through the network. */
export interface GraphValue {
  readonly data: Float64Array;
  readonly shape: readonly number[];
  /** Filled by `backward`; the sum over all uses. */
  readonly gradient: Float64Array;
}

/** A parameter; data is changed in place by a training step. */
export interface ReferenceParameter {
  readonly data: Float64Array;
  readonly shape: readonly number[];
}

/** Mean and biased variance [G, C] that one batch-norm layer saw, over HW positions of each sample. */
export interface LayerStatistics {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  readonly C: number;
  readonly HW: number;
}

/** One pass through a network: what it reads, and what it leaves behind. */
export interface Pass {
  /** By PyTorch's names. */
  readonly parameters: ReadonlyMap<string, ReferenceParameter>;
  /** Of each batch-norm layer, by the layer's name; read in evaluation only. */
  readonly running: ReadonlyMap<string, RunningStatistics>;
  /** The ghosts of this pass; null in evaluation. */
  readonly layout: GhostLayout | null;
  /** Added to the variance by every batch norm. */
  readonly eps: number;
  /** Gradients of the parameters, by name; filled by `backward`. */
  readonly gradients: Map<string, Float64Array>;
  /** By the layer's name; filled in training. */
  readonly statistics: Map<string, LayerStatistics>;
  /** One entry per operation, run from last to first. */
  readonly tape: (() => void)[];
}

/** A leaf of the graph, e.g. the images of a batch. */
export function leaf(data: Float64Array, shape: readonly number[]): GraphValue {
  return { data, shape, gradient: new Float64Array(data.length) };
}

/** Runs the tape backwards from `output`, whose gradient is `upstream`. */
export function backward({ tape }: Pass, output: GraphValue, upstream: Float64Array): void {
  accumulate(output.gradient, upstream);
  for (const step of [...tape].reverse()) step();
}

/** Convolution without bias by `${name}.weight` [K, C, R, S]. */
export function conv2d(
  pass: Pass,
  x: GraphValue,
  name: string,
  { stride, padding }: { stride: number; padding: number },
): GraphValue {
  const weight = parameter(pass, `${name}.weight`);
  const [N, C, H, W] = x.shape;
  const [K, , R, S] = weight.shape;
  const size = { N, C, H, W, K, R, S, stride, padding };
  const { P, Q } = conv2dOutputSize(size);
  const y = leaf(conv2dValues({ x: x.data, weight: weight.data }, size), [N, K, P, Q]);
  pass.tape.push(() => {
    accumulate(x.gradient, conv2dInputGradient({ weight: weight.data, dy: y.gradient }, size));
    addGradientOf(pass, `${name}.weight`, conv2dWeightGradient({ x: x.data, dy: y.gradient }, size));
  });
  return y;
}

/** `${name}.weight` [O, I] and `${name}.bias` [O]; all axes of x but the first are one. */
export function linear(pass: Pass, x: GraphValue, name: string): GraphValue {
  const weight = parameter(pass, `${name}.weight`);
  const bias = parameter(pass, `${name}.bias`);
  const [O, I] = weight.shape;
  const N = x.shape[0];
  const size = { N, I, O };
  const y = leaf(linearValues({ x: x.data, weight: weight.data, bias: bias.data }, size), [N, O]);
  pass.tape.push(() => {
    const { dx, dweight, dbias } = linearGradients({ x: x.data, weight: weight.data, dy: y.gradient }, size);
    accumulate(x.gradient, dx);
    addGradientOf(pass, `${name}.weight`, dweight);
    addGradientOf(pass, `${name}.bias`, dbias);
  });
  return y;
}

/** Ghost batch norm by `${name}.weight` (gamma) and `${name}.bias` (beta), with running statistics in evaluation. */
export function ghostBatchNorm(pass: Pass, x: GraphValue, name: string): GraphValue {
  const gamma = parameter(pass, `${name}.weight`).data;
  const beta = parameter(pass, `${name}.bias`).data;
  const [N, C] = x.shape;
  const HW = x.data.length / (N * C);
  const { layout, eps } = pass;
  if (layout === null) {
    const running = pass.running.get(name);
    if (!running) throw new Error(`reference model: no running statistics of ${name}`);
    const values = evaluateBatchNorm({ x: x.data, gamma, beta, ...running }, { N, C, HW, eps });
    return leaf(values, x.shape);
  }
  const options = { ...layout, C, HW, eps };
  const { y: values, mean, variance } = ghostBatchNormValues({ x: x.data, gamma, beta }, options);
  pass.statistics.set(name, { mean, variance, C, HW });
  const y = leaf(values, x.shape);
  pass.tape.push(() => {
    const tensors = { x: x.data, gamma, y: values, dy: y.gradient };
    const { dx, dgamma, dbeta } = ghostBatchNormGradients(tensors, options);
    accumulate(x.gradient, dx);
    addGradientOf(pass, `${name}.weight`, dgamma);
    addGradientOf(pass, `${name}.bias`, dbeta);
  });
  return y;
}

export function relu(pass: Pass, x: GraphValue): GraphValue {
  const y = leaf(reluValues(x.data), x.shape);
  pass.tape.push(() => accumulate(x.gradient, reluGradient({ x: x.data, dy: y.gradient })));
  return y;
}

export function add(pass: Pass, a: GraphValue, b: GraphValue): GraphValue {
  const y = leaf(addValues({ a: a.data, b: b.data }), a.shape);
  pass.tape.push(() => {
    const gradient = addGradient({ y: y.data, dy: y.gradient });
    accumulate(a.gradient, gradient);
    accumulate(b.gradient, gradient);
  });
  return y;
}

/** [N, C, H, W] to [N, C]. */
export function globalAvgPool(pass: Pass, x: GraphValue): GraphValue {
  const [N, C, H, W] = x.shape;
  const size = { N, C, HW: H * W };
  const y = leaf(globalAvgPoolValues(x.data, size), [N, C]);
  pass.tape.push(() => accumulate(x.gradient, globalAvgPoolGradient(y.gradient, size)));
  return y;
}

function parameter({ parameters }: Pass, name: string): ReferenceParameter {
  const found = parameters.get(name);
  if (!found) throw new Error(`reference model: no parameter ${name}`);
  return found;
}

function addGradientOf({ gradients }: Pass, name: string, gradient: Float64Array): void {
  const sum = gradients.get(name);
  if (sum) accumulate(sum, gradient);
  else gradients.set(name, gradient);
}

function accumulate(sum: Float64Array, values: Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] += values[i];
}
