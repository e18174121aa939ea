/** Initial values of parameters, each from its own counter-based random numbers. */
import { launchNormal, launchUniform } from "../kernels/random.ts";
import type { Initializer } from "./module.ts";

/** Uniform in ±bound. PyTorch's default for linear and convolution layers is bound = 1 / √fanIn. */
export function uniformWithin(bound: number): Initializer {
  return (value, key) => launchUniform(value, key, { low: -bound, high: bound });
}

/** Uniform in [low, high): gamma in [0, 1) was PyTorch's default before 1.2, when the paper was written. */
export function uniformBetween(low: number, high: number): Initializer {
  return (value, key) => launchUniform(value, key, { low, high });
}

/** Normal with mean 0. The paper's residual networks take deviation √(2 / (R · S · K)), K the output channels. */
export function normal(deviation: number): Initializer {
  return (value, key) => launchNormal(value, key, { mean: 0, deviation });
}

/** The same number everywhere. */
export function constant(number: number): Initializer {
  return (value, key) => launchUniform(value, key, { low: number, high: number });
}
