import { CapacityError } from "../support/errors.ts";
import { formatBytes } from "../support/format.ts";
import type { GhostLayout } from "./ghosts.ts";

/**
 * The most samples per slab for which one step's tensors take at most `memoryBytes` and fit the adapter's bindings:
 * the whole batch if that is possible, else halves, thirds, … down to one ghost.
 *
 * @param bytesOf plans a step with slabs of so many samples; throws CapacityError when a tensor cannot be bound
 * @throws CapacityError when even one ghost at a time is too much
 */
export function chooseSlab(
  layout: GhostLayout,
  memoryBytes: number,
  bytesOf: (maximumSlab: number) => number,
): number {
  let refused: CapacityError | null = null;
  for (let parts = 1; parts <= layout.ghosts; parts++) {
    const ghosts = Math.ceil(layout.ghosts / parts);
    if (parts > 1 && ghosts === Math.ceil(layout.ghosts / (parts - 1))) continue;
    const samples = (ghosts - 1) * layout.ghostSize + Math.max(layout.ghostSize, layout.last);
    try {
      const bytes = bytesOf(samples);
      if (bytes <= memoryBytes) return samples;
      refused = new CapacityError(
        `a step with one ghost of ${layout.ghostSize} at a time needs ${formatBytes(bytes)} and ${formatBytes(memoryBytes)} are allowed: take a smaller ghost or allow more memory`,
      );
    } catch (error) {
      if (!(error instanceof CapacityError)) throw error;
      refused = error;
    }
  }
  throw refused;
}
