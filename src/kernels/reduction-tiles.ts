/** How a sum over many values is mapped to a device: values loaded together, lanes, workgroups that share it. */
import type { Gpu } from "../gpu/gpu.ts";
import type { ByVariant } from "../gpu/variant.ts";

/** Workgroups that keep a GPU with about a hundred multiprocessors busy, a few on each. */
export const FULL_DEVICE = 512;

/** Lanes of a reduction. Narrow: one subgroup. Wide: a lane should sum several Elements, and a lone group gets a large workgroup. */
export function reductionLanes(gpu: Gpu, groups: number, elements: number): number {
  return LANES[gpu.baseVariant](gpu, groups, elements);
}

const LANES: ByVariant<(gpu: Gpu, groups: number, elements: number) => number> = {
  narrow: () => 8,
  wide: wideLanes,
};

function wideLanes(gpu: Gpu, groups: number, elements: number): number {
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = gpu.device.limits;
  const most = Math.min(
    groups < FULL_DEVICE ? 1024 : 256,
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX,
  );
  let lanes = 64;
  while (lanes * 2 <= most && lanes * 8 <= elements) lanes *= 2;
  return lanes;
}

/**
 * Workgroups that share the sum over one group. 1 unless there are few groups and each is so large that one
 * multiprocessor alone would be what the step waits for; never more than 1 on narrow adapters, whose few threads every
 * workgroup fills.
 *
 * @param of.groups number of sums
 * @param of.values values of one sum
 * @param of.least  the fewest values that justify another workgroup
 */
export function reductionSplits(
  gpu: Gpu,
  { groups, values, least }: { groups: number; values: number; least: number },
): number {
  if (groups >= FULL_DEVICE) return 1;
  const most = Math.min(MOST_SPLITS[gpu.baseVariant], Math.ceil(FULL_DEVICE / groups));
  return Math.max(1, Math.min(most, Math.floor(values / least)));
}

const MOST_SPLITS: ByVariant<number> = { narrow: 1, wide: 64 };

/**
 * Lanes of a workgroup in the two levels of a sum over a flat array. Wide: 256 with four vec4 in flight each, 16 KiB a
 * workgroup, of which an H100's multiprocessor needs two to hide its memory; then one load and a tree of 8 steps, not 256
 * loads one after the other. Narrow: barriers cost more than the 256 additions of one lane.
 */
export function sumLanes(gpu: Gpu): { readonly partial: number; readonly finish: number } {
  return SUM_LANES[gpu.baseVariant];
}

const SUM_LANES: ByVariant<{ readonly partial: number; readonly finish: number }> = {
  narrow: { partial: 64, finish: 1 },
  wide: { partial: 256, finish: 256 },
};

/** Lanes of a workgroup in which each lane computes its own sum. */
export const OWN_SUM_LANES: ByVariant<number> = { narrow: 8, wide: 64 };
