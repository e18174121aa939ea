// Float64 reference of the clip and of momentum SGD: plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

export interface SgdOptions {
  /** Learning rate η. */
  readonly lr: number;
  /** Momentum coefficient m. */
  readonly momentum: number;
  /** Weight decay, on every parameter. */
  readonly weightDecay: number;
  /** Largest global norm of the gradient; null for no clip. */
  readonly clipNorm: number | null;
}

/** ‖v‖ = √(Σ v²) */
export function l2Norm(v: Values): number {
  let squares = 0;
  for (let i = 0; i < v.length; i++) squares += v[i] ** 2;
  return Math.sqrt(squares);
}

/**
 * min(1, clipNorm / (gradientNorm + 1e-6)), and 1 without a clip. 1e-6 is PyTorch's, which the authors' code uses.
 */
export function clipCoefficient(gradientNorm: number, clipNorm: number | null): number {
  return clipNorm === null ? 1 : Math.min(1, clipNorm / (gradientNorm + 1e-6));
}

/**
 * One step on flat vectors, in this order: clip, weight decay, momentum (no dampening, no Nesterov).
 *
 *   c = clipCoefficient(‖gradient‖),  v' = momentum · v + (c · gradient + weightDecay · w),  w' = w − lr · v'
 *
 * @param parameters  w, all parameters one after the other
 * @param gradients   of the same length
 * @param velocity    v, zeros before the first step
 * @returns the new parameters and velocity, the norm before the clip and the coefficient c; the inputs stay as they are
 */
export function sgdStep(
  { parameters, gradients, velocity }: { parameters: Values; gradients: Values; velocity: Values },
  { lr, momentum, weightDecay, clipNorm }: SgdOptions,
): { parameters: Float64Array; velocity: Float64Array; gradientNorm: number; coefficient: number } {
  const gradientNorm = l2Norm(gradients);
  const coefficient = clipCoefficient(gradientNorm, clipNorm);
  const newParameters = new Float64Array(parameters.length);
  const newVelocity = new Float64Array(parameters.length);
  for (let i = 0; i < parameters.length; i++) {
    newVelocity[i] = momentum * velocity[i] + (coefficient * gradients[i] + weightDecay * parameters[i]);
    newParameters[i] = parameters[i] - lr * newVelocity[i];
  }
  return { parameters: newParameters, velocity: newVelocity, gradientNorm, coefficient };
}
