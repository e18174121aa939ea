/** What one compiled pipeline is made of: the loop that does most of its multiply-adds, the loop around it, and their bounds. */
import { type Bound, boundOf } from "./bound.ts";
import type { Costs } from "./families.ts";
import { addCounts, type Counts, countInstructions } from "./instructions.ts";
import type { Compiled } from "./listing.ts";
import { type Loop, loopsOf, within } from "./loops.ts";

export interface KernelReport extends Omit<Compiled, "blocks"> {
  /** All instructions of the kernel. */
  readonly instructions: Counts;
  /** One trip of the loop with the most multiply-adds; null without such a loop. */
  readonly hotLoop: (Bound & { readonly counts: Counts }) | null;
  /**
   * One step: a trip of the loop around the hot one, with as many trips of that as the kernel's `@products` line says. Other loops
   * in it count once. Null without that line, or where the line does not fit the loops.
   */
  readonly step: (Bound & { readonly counts: Counts; readonly trips: number }) | null;
}

/** @param products multiply-adds of a thread, or of matrices of a subgroup, in a step, if they are known */
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

/** What a kernel is there for: matrices where it has any, whose other multiply-adds are of addresses. */
function productsIn(loops: readonly Loop[]): (loop: Loop) => number {
  const of =
    (kind: "multiply-add" | "matrix multiply-add") =>
    ({ counts }: Loop) =>
      counts.kinds[kind] ?? 0;
  return loops.some((loop) => of("matrix multiply-add")(loop) > 0)
    ? of("matrix multiply-add")
    : of("multiply-add");
}

/** The innermost loop that still holds more than half of the multiply-adds of those around it. */
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
  // A step ends at a barrier; loops between it and the hot one only repeat that.
  const step = around.find(({ counts }) => counts.kinds.barrier) ?? around[0];
  return step ? { counts: addCounts(step.counts, trips - 1, hot.counts), trips } : null;
}
