/** The precision in which a network is trained, and its loss scale. */
import type { Gpu } from "../gpu/gpu.ts";
import { DeviceError, UsageError } from "../support/errors.ts";
import type { FloatType } from "../tensor/tensor.ts";

/**
 * "mixed" stores activations and their gradients as f16. Parameters, their gradients and velocity, statistics, sums, logits and
 * the loss are f32 in both, and so is all arithmetic.
 */
export type Precision = "f32" | "mixed";

/** The type in which activations and their gradients are stored. */
export function activationType(precision: Precision): FloatType {
  return precision === "mixed" ? "f16" : "f32";
}

/**
 * 2^(⌈log₂ B⌉ + 6), by which the loss of a batch of B samples is multiplied before its gradient is computed.
 *
 * The loss is a mean, so each sample's gradient has a factor 1 / B. In a large batch, much of it is below 2⁻²⁴, the smallest
 * f16 number. With this scale a sample's gradient at the logits is 64 to 128 times (softmax − onehot),
 * whatever B is, far from both ends of f16. A power of two changes no digits, so f32 sums are the same numbers times the scale.
 */
export function lossScaleOf(batchSize: number): number {
  return 2 ** (Math.ceil(Math.log2(batchSize)) + 6);
}

/** @throws DeviceError if the adapter cannot store f16 */
export function requirePrecision(gpu: Gpu, precision: Precision): void {
  if (precision === "mixed" && !gpu.device.features.has("shader-f16"))
    throw new DeviceError(
      `--precision mixed: ${gpu.adapter.name} has no shader-f16, which 16-bit activations need; use --precision f32`,
    );
}

/** @throws UsageError for a scale without mixed precision */
export function requireLossScale(precision: Precision, lossScale: number | null): void {
  if (lossScale !== null && precision === "f32")
    throw new UsageError("--loss-scale: only with --precision mixed; gradients in f32 need no scale");
}

/** Removes the loss scale from a gradient read from the GPU. In place, and exact. */
export function unscaled(gradient: Float32Array<ArrayBuffer>, lossScale: number): Float32Array<ArrayBuffer> {
  if (lossScale !== 1) for (let i = 0; i < gradient.length; i++) gradient[i]! /= lossScale;
  return gradient;
}
