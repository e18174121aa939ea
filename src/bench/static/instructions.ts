/** Kinds of GPU instructions, the same for all vendors, and counts of each. */

export type Kind =
  | "multiply-add"
  /** A subgroup matrix product: M·N·K multiply-adds by a whole wave. */
  | "matrix multiply-add"
  | "float"
  | "integer"
  | "integer multiply"
  | "move"
  | "scalar"
  | "shared load"
  | "shared store"
  | "load"
  | "store"
  | "scratch"
  | "barrier"
  | "branch"
  | "wait"
  | "other";

export interface Instruction {
  readonly kind: Kind;
  /** What one lane moves, of loads and stores of memory. */
  readonly bits?: number | undefined;
  /** Whether it keeps an index within bounds: a minimum of two integers. */
  readonly clamp?: boolean;
  /** Number of instructions in one: 2 if the GPU issues two together. */
  readonly weight?: number;
}

export interface Counts {
  /** Instructions of all kinds. */
  readonly total: number;
  readonly kinds: Readonly<Partial<Record<Kind, number>>>;
  /** Loads and stores of memory by width: "load b128". */
  readonly widths: Readonly<Record<string, number>>;
  readonly clamps: number;
  /** Bytes per lane that go to and from workgroup memory. */
  readonly sharedBytes: number;
}

export function countInstructions(instructions: readonly Instruction[]): Counts {
  const kinds: Partial<Record<Kind, number>> = {};
  const widths: Record<string, number> = {};
  let [total, clamps, sharedBytes] = [0, 0, 0];
  for (const { kind, bits, clamp = false, weight = 1 } of instructions) {
    total += weight;
    kinds[kind] = (kinds[kind] ?? 0) + weight;
    if (clamp) clamps++;
    if (bits === undefined) continue;
    const width = `${kind} b${bits}`;
    widths[width] = (widths[width] ?? 0) + 1;
    if (kind.startsWith("shared")) sharedBytes += bits / 8;
  }
  return { total, kinds, widths, clamps, sharedBytes };
}

/**
 * Clamps beyond one per number that is fetched into workgroup memory or written. These keep an index of workgroup memory in bounds where
 * the compiler could not prove that it is; there is one for every few multiply-adds.
 */
export function needlessClamps({ clamps, kinds }: Counts): number {
  return Math.max(0, clamps - (kinds.load ?? 0) - (kinds.store ?? 0) - (kinds["shared store"] ?? 0));
}

/** `a` + `factor` · `b`. */
export function addCounts(a: Counts, factor: number, b: Counts): Counts {
  const sum = <K extends string>(x: Partial<Record<K, number>>, y: Partial<Record<K, number>>) => {
    const keys = [...new Set([...Object.keys(x), ...Object.keys(y)])] as K[];
    return Object.fromEntries(keys.map((key) => [key, (x[key] ?? 0) + factor * (y[key] ?? 0)])) as Record<
      K,
      number
    >;
  };
  return {
    total: a.total + factor * b.total,
    kinds: sum(a.kinds, b.kinds),
    widths: sum(a.widths, b.widths),
    clamps: a.clamps + factor * b.clamps,
    sharedBytes: a.sharedBytes + factor * b.sharedBytes,
  };
}
