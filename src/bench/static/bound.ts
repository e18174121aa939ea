/**
 * The share of a GPU's peak f32 rate that a loop can reach at most, by its instructions alone. It assumes that everything
 * overlaps: it leaves out memory outside of workgroups, latency, barriers and bank conflicts. A bound, not a time.
 */
import type { Costs } from "./families.ts";
import type { Counts } from "./instructions.ts";

export interface Bound {
  /** Of peak f32, 0 to 1. */
  readonly share: number;
  /** The unit that is busy all the time. */
  readonly limit: "f32 arithmetic" | "vector instructions" | "issue" | "integers" | "workgroup memory";
}

/** Null for a loop without multiply-adds. */
export function boundOf({ kinds, total, sharedBytes }: Counts, costs: Costs): Bound | null {
  const count = (...names: (keyof typeof kinds)[]) =>
    names.reduce((sum, name) => sum + (kinds[name] ?? 0), 0);
  const useful = count("multiply-add") * costs.multiplyAdd;
  if (useful === 0) return null;
  const float = useful + count("float") * costs.float;
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
  return cycles > useful ? { share: useful / cycles, limit } : { share: 1, limit: "f32 arithmetic" };
}
