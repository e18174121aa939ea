/** The cost of an accuracy: steps, samples, operations and seconds up to the evaluation that first reached it. */
import type { RunData } from "../storage/read-run.ts";
import { GhostbatchError, messageOf } from "../support/errors.ts";
import { readCheckedRun } from "./checked-run.ts";

export interface LedgerEntry {
  readonly name: string;
  /** Null if no evaluation reached the target. */
  readonly reached: {
    readonly steps: number;
    readonly samples: number;
    /** Null for an unfinished run, whose folder does not have the cost of a sample. */
    readonly flops: number | null;
    /** Wall time of training and evaluation; null if the metrics do not tell. */
    readonly seconds: number | null;
  } | null;
  /** Percent; null for an unfinished run. */
  readonly final: number | null;
}

export interface Ledger {
  readonly entries: readonly LedgerEntry[];
  /** Runs that are skipped or counted differently, and why. */
  readonly problems: readonly string[];
}

/** @param target test accuracy, percent */
export async function readLedger(folders: readonly string[], target: number): Promise<Ledger> {
  const entries: LedgerEntry[] = [];
  const problems: string[] = [];
  for (const folder of folders) {
    try {
      const run = await readCheckedRun(folder);
      entries.push(ledgerOf(run, target));
      if (run.summary === null) problems.push(`${folder}: not finished; it may still reach the target`);
    } catch (error) {
      if (!(error instanceof GhostbatchError)) throw error;
      problems.push(`${messageOf(error)}; skipping this run`);
    }
  }
  return { entries, problems };
}

/**
 * Counts samples by epochs, each of which has every sample once, whatever the batch sizes of the run.
 * @param target test accuracy, percent
 */
export function ledgerOf(run: RunData, target: number): LedgerEntry {
  const { name, summary, evaluations } = run;
  const first = evaluations.find(({ testAccuracy }) => testAccuracy! >= target);
  const final = summary?.["accuracy"] ?? null;
  if (!first) return { name, reached: null, final };
  const steps = first["step"]!;
  const perEpoch = samplesPerEpoch(run);
  const samples = Math.round(first["epoch"]! * perEpoch);
  // A sample costs the same in every step except for the update, which is more frequent with a small batch: a few per cent.
  const flops = summary && (summary["flops"]! * samples) / summary["samples"]!;
  return { name, reached: { steps, samples, flops, seconds: secondsAt(run, steps, perEpoch) }, final };
}

/** Samples in an epoch. For an unfinished run on a whole data set, the last batch of the epoch is assumed to be full. */
function samplesPerEpoch({ configuration, training, evaluations, summary }: RunData): number {
  const last = evaluations.at(-1)?.["epoch"];
  if (summary && last) return summary["samples"]! / last;
  const subset = configuration["subset"] as { train?: number } | null | undefined;
  if (subset?.train) return subset.train;
  const [first] = training;
  if (!first) return Number.NaN;
  const steps = Math.round(first["step"]! / first["epoch"]!);
  return steps * Number(configuration["batchSize"]);
}

/** From the images per second so far, which the metrics contain at each step. */
function secondsAt({ training, summary }: RunData, steps: number, perEpoch: number): number | null {
  if (summary && steps === summary["steps"]) return summary["seconds"]!;
  const row = training.findLast(({ step }) => step! <= steps);
  if (row === undefined) return null;
  const seconds = (row["epoch"]! * perEpoch) / row["imagesPerSecond"]!;
  return Number.isFinite(seconds) ? seconds : null;
}
