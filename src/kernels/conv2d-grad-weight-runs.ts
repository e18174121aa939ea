/** How a weight gradient is cut into runs of output pixels, each with partial sums of its own. */
import type { FloatType, Tensor } from "../tensor/tensor.ts";
import type { Conv2dGeometry } from "./conv2d-geometry.ts";
import { floatType } from "./element.ts";

export type GradWeightBuffers = Readonly<Record<"x" | "dy" | "partials", Tensor>>;

export interface GradWeightPlan {
  /** Runs. */
  readonly splits: number;
  run(buffers: GradWeightBuffers): void;
}

/** Partial sums take at most this many numbers (32 MiB), about what the largest activations take. */
const MOST_PARTIALS = 2 ** 23;

/**
 * `count` steps in runs for `workgroups` workgroups in all, where one run takes `tiles` of them; no shorter than
 * `least` steps, below which writing and adding up partial sums costs more than making them.
 */
export function runsOf(
  count: number,
  { workgroups, tiles, least }: { workgroups: number; tiles: number; least: number },
  size: number,
) {
  const wanted = Math.max(1, Math.floor(Math.min(workgroups / tiles, count / least, MOST_PARTIALS / size)));
  const perSplit = Math.ceil(count / wanted);
  return { perSplit, splits: Math.ceil(count / perSplit) };
}

export function weightSize({ K, C, R, S }: Conv2dGeometry): number {
  return K * C * R * S;
}

/** The type of its activations in memory. */
export function storedIn({ x, dy }: GradWeightBuffers): FloatType {
  return floatType("conv2d", { x, dy });
}
