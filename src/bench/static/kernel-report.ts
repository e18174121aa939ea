/** The parts of a compiled pipeline: the loop that does most of its multiply-adds, the loop around it, and their bounds. */
import { type Bound, boundOf } from "./bound.ts";
import type { Costs } from "./families.ts";
import { addCounts, type Counts, countInstructions } from "./instructions.ts";
import type { Compiled } from "./listing.ts";
import { type Loop, loopsOf, within } from "./loops.ts";

export interface KernelReport extends Omit<Compiled, "blocks"> {
  /** All instructions of the kernel. */
  readonly instructions: Counts;
  /** One iteration of the loop with the most multiply-adds; null without such a loop. */
  readonly hotLoop: (Bound & { readonly counts: Counts }) | null;
  /**
   * One step: an iteration of the loop around the hot one, with as many iterations of the hot loop as the kernel's `@products` line implies.
   * Other loops in it count once. Null without that line, or if the line does not fit the loops.
   */
  readonly step: (Bound & { readonly counts: Counts; readonly trips: number }) | null;
}

/** @param products multiply-adds of a thread (with matrices: of a subgroup) per step, if known */
export function reportOf(
  { blocks, ...statistics }: Compiled,
  costs: Costs,
  products: number | null,
): KernelReport {
  const instructions = countInstructions(blocks.flatMap((block) => block.instructions));
  const loops = loopsOf(blocks);
  const productsOf = productsIn(loops);
  const hot = hottest(loops, productsOf);
  const bound = hot && boundOf(hot.counts, costs);
  if (!hot || !bound) return { ...statistics, instructions, hotLoop: null, step: null };
  const hotLoop = { ...bound, counts: hot.counts };
  const found = products === null ? null : stepOf(loops, hot, products / productsOf(hot));
  const step = found && { ...boundOf(found.counts, costs)!, ...found };
  return { ...statistics, instructions, hotLoop, step };
}

/** A kernel's main arithmetic: matrices if it has any, since its other multiply-adds then compute addresses. */
function productsIn(loops: readonly Loop[]): (loop: Loop) => number {
  const of =
    (kind: "multiply-add" | "matrix multiply-add") =>
    ({ counts }: Loop) =>
      counts.kinds[kind] ?? 0;
  return loops.some((loop) => of("matrix multiply-add")(loop) > 0)
    ? of("matrix multiply-add")
    : of("multiply-add");
}

/** The innermost loop that still has more than half of the multiply-adds of the loops around it. */
function hottest(loops: readonly Loop[], productsOf: (loop: Loop) => number): Loop | null {
  const candidates = loops.filter(
    (loop) =>
      productsOf(loop) > 0 &&
      !loops.some((inner) => within(inner, loop) && productsOf(inner) > productsOf(loop) / 2),
  );
  return candidates.sort((a, b) => productsOf(b) - productsOf(a))[0] ?? null;
}

function stepOf(loops: readonly Loop[], hot: Loop, trips: number) {
  if (trips === 1) return { counts: hot.counts, trips };
  if (!Number.isInteger(trips)) return null;
  const around = loops.filter((loop) => within(hot, loop)).sort((a, b) => a.blocks.size - b.blocks.size);
  // A step ends at a barrier; loops between it and the hot loop only repeat the hot loop.
  const step = around.find(({ counts }) => counts.kinds.barrier) ?? around[0];
  return step ? { counts: addCounts(step.counts, trips - 1, hot.counts), trips } : null;
}
