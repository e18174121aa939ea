import { CapacityError } from "../support/errors.ts";
import { formatBytes } from "../support/format.ts";
import type { GhostLayout } from "./ghosts.ts";

/** Bytes of one step's tensors for batches of a layout, in slabs of at most so many samples. */
type PlanBytes = (layout: GhostLayout, slabSamples: number) => number;

/**
 * The most samples per slab for which one step's tensors take at most `memoryBytes` and fit the adapter's bindings:
 * the whole batch if that is possible, else halves, thirds, … down to one ghost.
 *
 * @param bytesOf throws CapacityError when a tensor cannot be bound
 * @throws CapacityError when even one ghost at a time is too much, with what it needs, what there is, and what would fit
 */
export function chooseSlab(layout: GhostLayout, memoryBytes: number, bytesOf: PlanBytes): number {
  let refused = "";
  for (let parts = 1; parts <= layout.ghosts; parts++) {
    const ghosts = Math.ceil(layout.ghosts / parts);
    if (parts > 1 && ghosts === Math.ceil(layout.ghosts / (parts - 1))) continue;
    const samples = (ghosts - 1) * layout.ghostSize + Math.max(layout.ghostSize, layout.last);
    const bytes = bytesOrRefusal(() => bytesOf(layout, samples));
    if (typeof bytes === "number" && bytes <= memoryBytes) return samples;
    refused = refusal(bytes);
  }
  const advice = largestGhost(layout, memoryBytes, bytesOf);
  throw new CapacityError(
    `a step with one ghost of ${layout.ghostSize} at a time ${refused} and ${formatBytes(memoryBytes)} are allowed: ${advice}`,
  );
}

/**
 * The most samples of one evaluation batch that take at most `memoryBytes` and fit the adapter's bindings: `most`, or that
 * halved as often as it takes.
 *
 * @param bytesOf throws CapacityError when a tensor cannot be bound
 * @throws CapacityError when even one sample is too much
 */
export function chooseEvaluationBatch(
  most: number,
  memoryBytes: number,
  bytesOf: (samples: number) => number,
): number {
  let refused = "";
  for (let samples = most; samples >= 1; samples = Math.floor(samples / 2)) {
    const bytes = bytesOrRefusal(() => bytesOf(samples));
    if (typeof bytes === "number" && bytes <= memoryBytes) return samples;
    refused = refusal(bytes);
  }
  throw new CapacityError(
    `evaluating one sample ${refused} and ${formatBytes(memoryBytes)} are allowed: use a smaller model, or allow more (--memory, in MiB)`,
  );
}

/** What would fit: the ghost that is smaller by the fewest halvings. */
function largestGhost(layout: GhostLayout, memoryBytes: number, bytesOf: PlanBytes): string {
  for (let size = Math.floor(layout.ghostSize / 2); size >= 2; size = Math.floor(size / 2)) {
    const single = { ...layout, ghostSize: size, ghosts: 1, last: size, total: size };
    const bytes = bytesOrRefusal(() => bytesOf(single, size));
    if (typeof bytes === "number" && bytes <= memoryBytes) {
      return `use --ghost-size ${size}, which needs ${formatBytes(bytes)}, or allow more (--memory, in MiB)`;
    }
  }
  return "no ghost size fits: use a smaller model, or allow more (--memory, in MiB)";
}

function bytesOrRefusal(bytesOf: () => number): number | CapacityError {
  try {
    return bytesOf();
  } catch (error) {
    if (error instanceof CapacityError) return error;
    throw error;
  }
}

function refusal(bytes: number | CapacityError): string {
  return typeof bytes === "number" ? `needs ${formatBytes(bytes)}` : `does not fit (${bytes.message})`;
}
