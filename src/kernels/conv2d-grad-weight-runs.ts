/** How a weight gradient is cut into runs of output pixels, each with its own partial sums. */
import type { FloatType, Tensor } from "../tensor/tensor.ts";
import type { Conv2dGeometry } from "./conv2d-geometry.ts";
import { floatType } from "./element.ts";

export type GradWeightBuffers = Readonly<Record<"x" | "dy" | "partials", Tensor>>;

export interface GradWeightPlan {
  /** Number of runs. */
  readonly splits: number;
  run(buffers: GradWeightBuffers): void;
}

/** The most numbers that partial sums may take (32 MiB), about as many as the largest activations. */
const MOST_PARTIALS = 2 ** 23;

/**
 * Cuts `count` steps into runs for `workgroups` workgroups in all, of which each run takes `tiles`. Runs have at least `least` steps:
 * with fewer, writing and adding up partial sums costs more than computing them.
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

/** The type of the activations in memory. */
export function storedIn({ x, dy }: GradWeightBuffers): FloatType {
  return floatType("conv2d", { x, dy });
}
