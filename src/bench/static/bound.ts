/**
 * An upper bound on the share of a GPU's peak rate (of matrices if the loop has any, else of f32) that a loop can reach, from its
 * instructions alone. It assumes that everything overlaps, and ignores memory outside of workgroups, latency, barriers and bank
 * conflicts. A bound, not a time.
 */
import type { Costs } from "./families.ts";
import type { Counts } from "./instructions.ts";

export interface Bound {
  /** Share of the peak rate of its arithmetic, 0 to 1. */
  readonly share: number;
  readonly peak: "f32" | "matrix";
  /** The unit that is always busy. */
  readonly limit: "arithmetic" | "vector instructions" | "issue" | "integers" | "workgroup memory";
}

/** Null for a loop without multiply-adds of its kind. */
export function boundOf({ kinds, total, sharedBytes }: Counts, costs: Costs): Bound | null {
  const count = (...names: (keyof typeof kinds)[]) =>
    names.reduce((sum, name) => sum + (kinds[name] ?? 0), 0);
  const matrix = count("matrix multiply-add") * (costs.matrixMultiplyAdd ?? 0);
  const single = count("multiply-add") * costs.multiplyAdd;
  const [peak, useful] = matrix > 0 ? (["matrix", matrix] as const) : (["f32", single] as const);
  if (useful === 0) return null;
  const float = matrix + single + count("float") * costs.float;
  const multiply = count("integer multiply") * costs.integerMultiply;
  const units: Partial<Record<Bound["limit"], number>> = costs.oneUnit
    ? { "vector instructions": float + count("integer", "move") * costs.integer + multiply }
    : {
        issue: total - count("wait"),
        integers: count("integer") * costs.integer,
        "vector instructions": float + multiply,
      };
  const all = { ...units, "workgroup memory": sharedBytes * costs.sharedByte } as Record<
    Bound["limit"],
    number
  >;
  const [limit, cycles] = Object.entries(all).reduce((most, one) => (one[1] > most[1] ? one : most)) as [
    Bound["limit"],
    number,
  ];
  return cycles > useful ? { share: useful / cycles, peak, limit } : { share: 1, peak, limit: "arithmetic" };
}
