/** Values for a run's summary that accumulate during the run; saved with every checkpoint. */
import { z } from "zod";
import type { TrainEvent } from "../train/trainer.ts";

const count = z.int().min(0);
const distance = z.number().nullable(); // JSON has no infinity

export const TallyRecord = z.strictObject({
  /** Wall time of training and evaluation, over all processes that have worked on the run. */
  seconds: z.number().min(0),
  evaluations: z.array(z.strictObject({ step: count, accuracy: z.number() })),
  testLoss: z.number().nullable(),
  distanceFirst: distance,
  distanceAll: distance,
  /** Steps whose update was skipped because it was not finite. */
  skippedSteps: count,
  /** Consecutive skipped steps up to now. */
  skippedInARow: count.default(0),
});
export type TallyRecord = z.infer<typeof TallyRecord>;

export class Tally {
  readonly evaluations: { readonly step: number; readonly accuracy: number }[];
  /** Mean cross-entropy of the last evaluation. */
  testLoss: number;
  /** Accuracy with re-estimated running statistics, or null. Not saved with checkpoints, because it is computed after the last one. */
  reestimatedAccuracy: number | null = null;
  /** Mean cross-entropy of the last step read back. */
  loss = Number.NaN;
  distance: { readonly distanceFirst: number; readonly distanceAll: number };
  skippedSteps: number;
  skippedInARow: number;
  readonly #secondsBefore: number;
  readonly #start = performance.now();

  constructor(record: TallyRecord | null = null) {
    this.evaluations = [...(record?.evaluations ?? [])];
    this.testLoss = record?.testLoss ?? Number.NaN;
    this.distance = { distanceFirst: record?.distanceFirst ?? 0, distanceAll: record?.distanceAll ?? 0 };
    this.skippedSteps = record?.skippedSteps ?? 0;
    this.skippedInARow = record?.skippedInARow ?? 0;
    this.#secondsBefore = record?.seconds ?? 0;
  }

  get seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#start) / 1000;
  }

  add(event: TrainEvent): void {
    if (event.kind === "metrics") {
      this.loss = event.steps.at(-1)!.loss;
      const { distanceFirst, distanceAll } = event.distances.at(-1) ?? this.distance;
      this.distance = { distanceFirst, distanceAll };
    } else if (event.kind === "reestimated") {
      this.reestimatedAccuracy = event.accuracy;
    } else {
      this.testLoss = event.loss;
      this.evaluations.push({ step: event.step, accuracy: event.accuracy });
    }
  }

  /** Counts a step, whose update may have been skipped. */
  countStep(skipped: boolean): void {
    if (skipped) this.skippedSteps++;
    this.skippedInARow = skipped ? this.skippedInARow + 1 : 0;
  }

  /** The evaluation with the highest accuracy, the earliest of equals; null before the first. */
  get best(): { readonly step: number; readonly accuracy: number } | null {
    let best = this.evaluations[0] ?? null;
    for (const evaluation of this.evaluations) if (evaluation.accuracy > best!.accuracy) best = evaluation;
    return best;
  }

  record(): TallyRecord {
    const { seconds, testLoss, skippedSteps, skippedInARow } = this;
    const { distanceFirst, distanceAll } = this.distance;
    return {
      seconds,
      evaluations: [...this.evaluations],
      testLoss,
      distanceFirst,
      distanceAll,
      skippedSteps,
      skippedInARow,
    };
  }
}
