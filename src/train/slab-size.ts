import { CapacityError } from "../support/errors.ts";
import { formatBytes } from "../support/format.ts";
import type { GhostLayout } from "./ghosts.ts";

/** Bytes of one step's tensors for batches of a layout, in slabs of at most `slabSamples` samples. */
type PlanBytes = (layout: GhostLayout, slabSamples: number) => number;

/**
 * The most samples per slab such that one step's tensors take at most `memoryBytes` and fit the adapter's bindings:
 * the whole batch if that is possible, else halves, thirds, … down to one ghost.
 *
 * @param bytesOf throws CapacityError if a tensor cannot be bound
 * @throws CapacityError if even one ghost at a time does not fit, with what it needs, what is available, and what would fit
 */
export function chooseSlab(layout: GhostLayout, memoryBytes: number, bytesOf: PlanBytes): number {
  let least: number | CapacityError = 0;
  for (let parts = 1; parts <= layout.ghosts; parts++) {
    const ghosts = Math.ceil(layout.ghosts / parts);
    if (parts > 1 && ghosts === Math.ceil(layout.ghosts / (parts - 1))) continue;
    const samples = (ghosts - 1) * layout.ghostSize + Math.max(layout.ghostSize, layout.last);
    least = bytesOrRefusal(() => bytesOf(layout, samples));
    if (typeof least === "number" && least <= memoryBytes) return samples;
  }
  const advice = [largestGhost(layout, memoryBytes, bytesOf), ...moreMemory(least)].join(", or ");
  const step = `a step with one ghost of ${layout.ghostSize} at a time`;
  throw new CapacityError(`${step} ${refusal(least, memoryBytes)}: ${advice}`);
}

/**
 * The most samples per evaluation batch that take at most `memoryBytes` and fit the adapter's bindings: `most`, halved
 * as often as necessary.
 *
 * @param bytesOf throws CapacityError when a tensor cannot be bound
 * @throws CapacityError when even one sample is too much
 */
export function chooseEvaluationBatch(
  most: number,
  memoryBytes: number,
  bytesOf: (samples: number) => number,
): number {
  let least: number | CapacityError = 0;
  for (let samples = most; samples >= 1; samples = Math.floor(samples / 2)) {
    least = bytesOrRefusal(() => bytesOf(samples));
    if (typeof least === "number" && least <= memoryBytes) return samples;
  }
  const advice = ["use a smaller model", ...moreMemory(least)].join(", or ");
  throw new CapacityError(`evaluating one sample ${refusal(least, memoryBytes)}: ${advice}`);
}

/** Advice on what would fit: the ghost size after the fewest halvings. */
function largestGhost(layout: GhostLayout, memoryBytes: number, bytesOf: PlanBytes): string {
  for (let size = Math.floor(layout.ghostSize / 2); size >= 2; size = Math.floor(size / 2)) {
    const single = { ...layout, ghostSize: size, ghosts: 1, last: size, total: size };
    const bytes = bytesOrRefusal(() => bytesOf(single, size));
    if (typeof bytes === "number" && bytes <= memoryBytes) {
      return `use ghosts of ${size}, which need ${formatBytes(bytes)}`;
    }
  }
  return "no ghost size fits: use a smaller model";
}

function bytesOrRefusal(bytesOf: () => number): number | CapacityError {
  try {
    return bytesOf();
  } catch (error) {
    if (error instanceof CapacityError) return error;
    throw error;
  }
}

function refusal(bytes: number | CapacityError, memoryBytes: number): string {
  return typeof bytes === "number"
    ? `needs ${formatBytes(bytes)}, but ${formatBytes(memoryBytes)} are allowed`
    : `does not fit the adapter; ${bytes.message}`;
}

/** The option that allows enough memory; none if the adapter is the limit. */
function moreMemory(bytes: number | CapacityError): string[] {
  return typeof bytes === "number" ? [`allow as much with --memory ${Math.ceil(bytes / 2 ** 20)}`] : [];
}
