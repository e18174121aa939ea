import type { GhostLayout } from "../train/ghosts.ts";

/**
 * The ghosts of a reference: pieces of `ghostSize` in order; the remainder is a ghost too. A run averages the
 * ghosts' mean gradients, so a sample of a smaller last ghost weighs more.
 */
export function cutIntoGhosts(samples: number, ghostSize: number): GhostLayout {
  const ghosts = Math.ceil(samples / ghostSize);
  const last = samples - (ghosts - 1) * ghostSize;
  const first = ghosts === 1 ? last : ghostSize;
  const [weightPerSample, weightPerSampleLast] = [1 / (ghosts * first), 1 / (ghosts * last)];
  return { ghostSize: first, ghosts, last, total: samples, weightPerSample, weightPerSampleLast };
}
