/**
 * Growing the batch instead of cutting the learning rate (Smith, Kindermans, Ying, Le 2018, "Don't decay the learning rate,
 * increase the batch size"): the noise of SGD is about η·N / (B·(1 − m)), so where a regime divides η by k, B times k
 * does the same with fewer steps. The ghost size stays, so batch norm does not notice. Where the batch has reached a tenth
 * of the data, the bound of that paper, the rate is cut after all.
 */
import { placeDataset } from "../data/feed.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { materialize } from "../nn/model-state.ts";
import { stateDict } from "../nn/state-dict.ts";
import type { RunFolder } from "../storage/run-folder.ts";
import { writeSafetensors } from "../storage/safetensors.ts";
import { DivergenceError, StoppedError } from "../support/errors.ts";
import { mean } from "../support/statistics.ts";
import { BASE_REGIMES, type BaseRegime, overrideRegime, scaleEpochs } from "../train/base-regimes.ts";
import { type TrainEvent, Trainer } from "../train/trainer.ts";
import { dataOptions, type ExecuteOptions, type MetricColumn, trainOptions } from "./execute.ts";
import { type PreparedRun, planRun } from "./prepare.ts";
import { RunSpec } from "./run-spec.ts";
import type { RunSummary } from "./run-summary.ts";

/** The largest batch is this part of the data (Smith et al. 2018, section 5). */
const LARGEST_PART = 0.1;

/** The run as runs of one batch size and one rate each, in order. */
export function growthPhases(spec: RunSpec, samples: number): RunSpec[] {
  const { learningRate, momentum, weightDecay, epochs, epochScale, baseRegime, ...rest } = spec;
  const overridden = overrideRegime(BASE_REGIMES[baseRegime] as BaseRegime, {
    learningRate,
    momentum,
    weightDecay,
    epochs,
  });
  const base = scaleEpochs(overridden, epochScale);
  const first = base.entries[0]!.learningRate!;
  // A multiple of the first batch, so that the last batch of an epoch is no handful of samples.
  const multiple = Math.max(1, Math.floor((samples * LARGEST_PART) / spec.batchSize));
  const largest = multiple * spec.batchSize;
  let current = { learningRate: first, momentum: 0, weightDecay: 0 };
  return base.entries.flatMap((entry, i) => {
    current = { ...current, ...definedOf(entry) };
    const end = Math.min(base.entries[i + 1]?.epoch ?? base.epochs, base.epochs);
    if (end <= entry.epoch) return [];
    const batchSize = Math.min(largest, Math.round((spec.batchSize * first) / current.learningRate));
    // What the batch cannot grow by any more is cut from the rate.
    const rate = (current.learningRate * batchSize) / spec.batchSize;
    return RunSpec.parse({
      ...rest,
      baseRegime,
      constantRate: true,
      batchGrowth: false,
      batchSize,
      learningRate: rate,
      momentum: current.momentum,
      weightDecay: current.weightDecay,
      epochs: end - entry.epoch,
      // Samples come in another order in each phase.
      seed: (spec.seed + PHASE_SEED * i) % 2 ** 32,
    });
  });
}

/** Odd and large, so that the phases of one seed do not meet those of the next. */
const PHASE_SEED = 0x9e3779b1;

function definedOf({ learningRate, momentum, weightDecay }: BaseRegime["entries"][number]) {
  return {
    ...(learningRate !== undefined && { learningRate }),
    ...(momentum !== undefined && { momentum }),
    ...(weightDecay !== undefined && { weightDecay }),
  };
}

/**
 * Runs the phases one after the other on one model. It has no checkpoints: an interrupted run begins again.
 * @throws StoppedError when `control` asked for it; DivergenceError for NaN or infinities
 */
export async function executeGrowing(
  gpu: Gpu,
  prepared: PreparedRun,
  folder: RunFolder<MetricColumn>,
  { control, onProgress, logEvery }: ExecuteOptions = {},
): Promise<RunSummary> {
  const setupStart = performance.now();
  const { spec, dataset, model } = prepared;
  const facts = { ...dataset, count: dataset.train.count };
  const plans = growthPhases(spec, facts.count).map((phase) => ({
    dataset,
    ...planRun(phase, facts),
    model,
  }));
  const ghosts = plans.map(({ epoch }) => Math.max(epoch.full?.ghosts ?? 0, epoch.last.ghosts));
  const state = materialize(gpu, model, { seed: spec.seed, maximumGhosts: Math.max(...ghosts) });
  const data = await placeDataset(gpu, dataset, dataOptions(plans.at(-1)!));
  folder.rewind(null);
  const trainers: Trainer[] = [];
  for (const plan of plans)
    trainers.push(await Trainer.create(gpu, state, data, trainOptions(plan, logEvery)));
  await gpu.settle();

  const start = performance.now();
  const totalSteps = plans.reduce((sum, { regime }) => sum + regime.totalSteps, 0);
  const accuracies: { step: number; accuracy: number }[] = [];
  let [steps, epochs, samples, flops] = [0, 0, 0, 0];
  let [loss, testLoss] = [Number.NaN, Number.NaN];
  let distance = { distanceFirst: 0, distanceAll: 0 };
  for (const [i, trainer] of trainers.entries()) {
    const { regime, epoch } = plans[i]!;
    const layout = epoch.full ?? epoch.last;
    for await (const event of trainer.run(0, () => !control?.stop)) {
      const seconds = (performance.now() - start) / 1000;
      if (event.kind === "metrics") {
        const last = event.steps.at(-1)!;
        if (!Number.isFinite(last.loss))
          throw new DivergenceError(`step ${steps + last.step}: the loss is ${last.loss}`);
        distance = event.distances.at(-1) ?? distance;
        loss = last.loss;
        appendMetrics(folder, event, {
          steps,
          epochs,
          imagesPerSecond: (samples + last.step * layout.total) / seconds,
        });
        const done = steps + last.step;
        const secondsLeft = (seconds / done) * (totalSteps - done);
        const imagesPerSecond = (samples + last.step * layout.total) / seconds;
        onProgress?.({
          step: done,
          totalSteps,
          imagesPerSecond,
          secondsLeft,
          loss,
          testAccuracy: accuracies.at(-1)?.accuracy ?? null,
        });
      } else {
        testLoss = event.loss;
        accuracies.push({ step: steps + event.step, accuracy: event.accuracy });
        const { accuracy: testAccuracy, accuracyTop5: testAccuracyTop5 } = event;
        folder.append({
          kind: "evaluation",
          step: steps + event.step,
          epoch: epochs + event.epoch,
          testLoss,
          testAccuracy,
          testAccuracyTop5,
        });
      }
    }
    if (control?.stop)
      throw new StoppedError(
        `stopped by ${control.stop.by}; a growing batch begins again at step 0`,
        control.stop.exitCode,
      );
    const perEpoch = (regime.stepsPerEpoch - 1) * (epoch.full?.total ?? 0) + epoch.last.total;
    const here = Math.round(regime.totalEpochs * perEpoch);
    steps += regime.totalSteps;
    epochs += regime.totalEpochs;
    samples += here;
    flops += (trainer.plan.cost.flops / layout.total) * here;
  }
  await folder.settle();
  await writeSafetensors(folder.file("weights.safetensors"), await stateDict(state));
  const best = accuracies.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
  const seconds = (performance.now() - start) / 1000;
  const summary: RunSummary = {
    accuracy: accuracies.at(-1)!.accuracy,
    best: best.accuracy,
    bestStep: best.step,
    lastFive: mean(accuracies.slice(-5).map(({ accuracy }) => accuracy)),
    testLoss,
    steps,
    skippedSteps: 0,
    samples,
    flops,
    seconds,
    setupSeconds: (start - setupStart) / 1000,
    imagesPerSecond: samples / seconds,
    ...distance,
    batchNormGroup: (plans[0]!.epoch.full ?? plans[0]!.epoch.last).ghostSize,
    slabSamples: Math.max(...trainers.map(({ slabSamples }) => slabSamples)),
    dispatchesPerStep: trainers[0]!.plan.dispatches,
    gpuBytes: gpu.allocatedBytes,
  };
  await folder.finish(summary);
  return summary;
}

function appendMetrics(
  folder: RunFolder<MetricColumn>,
  { steps, distances }: Extract<TrainEvent, { kind: "metrics" }>,
  offset: { steps: number; epochs: number; imagesPerSecond: number },
): void {
  const distanceAt = new Map(distances.map(({ step, ...values }) => [step, values]));
  for (const metrics of steps) {
    const place = { step: offset.steps + metrics.step, epoch: offset.epochs + metrics.epoch };
    folder.append({
      kind: "train",
      ...metrics,
      ...place,
      ...distanceAt.get(metrics.step),
      imagesPerSecond: offset.imagesPerSecond,
    });
  }
}
