import type { ModelState } from "../nn/model-state.ts";
import { RankDriftError } from "../support/errors.ts";
import { readFloats } from "../tensor/tensor.ts";
import { type Communicator, rankName } from "./communicator.ts";

/**
 * Compares the parameters and running statistics of all ranks by a hash. Each rank makes the same update, so they are equal to
 * the bit unless a device or its memory is at fault. Every rank gets the same result.
 * @throws RankDriftError naming the ranks that differ from rank 0
 */
export async function requireEqualParameters(
  communicator: Communicator,
  { values, normState }: ModelState,
  step: number,
): Promise<void> {
  if (communicator.size === 1) return;
  const tensors = [values, ...(normState ? [normState.runningMean, normState.runningVariance] : [])];
  let hash = 0;
  for (const tensor of tensors) hash = hashOfWords(new Uint32Array((await readFloats(tensor)).buffer), hash);
  const gathered = await communicator.gather(new Uint8Array(Uint32Array.of(hash).buffer));
  const hashes = [...new Uint32Array(gathered.slice().buffer)];
  const differing = hashes.flatMap((other, rank) =>
    other === hashes[0] ? [] : [rankName(communicator, rank)],
  );
  if (differing.length === 0) return;
  throw new RankDriftError(
    `after step ${step}: the parameters of ${differing.join(", ")} differ from those of ${rankName(communicator, 0)}: ` +
      "a GPU, its memory or its driver is faulty; resume from the last checkpoint without that machine",
  );
}

/** A 32-bit hash of words, like FNV-1a but on words instead of bytes. It detects any change of a single word. */
export function hashOfWords(words: Uint32Array, seed = 0): number {
  let hash = (seed ^ 0x811c9dc5) >>> 0;
  for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193);
  return hash >>> 0;
}
