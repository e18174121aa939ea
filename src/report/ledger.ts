/** What a run paid for an accuracy: steps, samples, operations and seconds up to the evaluation that first reached it. */
import type { RunData } from "../storage/read-run.ts";

export interface LedgerEntry {
  readonly name: string;
  /** Null where no evaluation reached the target. */
  readonly reached: {
    readonly steps: number;
    readonly samples: number;
    readonly flops: number;
    readonly seconds: number;
  } | null;
  /** Percent; null for a run that has not finished. */
  readonly final: number | null;
}

/** @param target test accuracy, percent */
export function ledgerOf(run: RunData, target: number): LedgerEntry {
  const { name, summary, evaluations } = run;
  const first = evaluations.find(({ testAccuracy }) => testAccuracy! >= target);
  const final = summary?.["accuracy"] ?? null;
  if (!first || !summary) return { name, reached: null, final };
  const steps = first["step"]!;
  // Every step of a run costs the same but for the last of an epoch.
  const part = steps / summary["steps"]!;
  const of = (total: number | undefined) => part * (total ?? Number.NaN);
  const { samples, flops, seconds } = summary;
  return {
    name,
    reached: { steps, samples: Math.round(of(samples)), flops: of(flops), seconds: of(seconds) },
    final,
  };
}
