/** The lines of a run's metrics files: one per step and per evaluation. Kind `reestimated` is the evaluation of --reestimate-statistics. */
import type { RunFolder } from "../storage/run-folder.ts";
import type { TrainEvent } from "../train/trainer.ts";

export const METRIC_COLUMNS = [
  "kind",
  "step",
  "epoch",
  "loss",
  "accuracy",
  "accuracyTop5",
  "gradientNorm",
  "clipCoefficient",
  "learningRate",
  "distanceFirst",
  "distanceAll",
  "testLoss",
  "testAccuracy",
  "testAccuracyTop5",
  "imagesPerSecond",
] as const;
export type MetricColumn = (typeof METRIC_COLUMNS)[number];

/** @param imagesPerSecond of training so far */
export function writeEvent(
  folder: RunFolder<MetricColumn>,
  event: TrainEvent,
  imagesPerSecond: number,
): void {
  if (event.kind !== "metrics") {
    const { kind, step, epoch, loss, accuracy, accuracyTop5 } = event;
    folder.append({
      kind,
      step,
      epoch,
      testLoss: loss,
      testAccuracy: accuracy,
      testAccuracyTop5: accuracyTop5,
    });
    return;
  }
  const distanceAt = new Map(event.distances.map(({ step, ...values }) => [step, values]));
  for (const metrics of event.steps) {
    folder.append({ kind: "train", ...metrics, ...distanceAt.get(metrics.step), imagesPerSecond });
  }
}
