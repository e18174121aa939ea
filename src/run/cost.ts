/** Costs of a list of runs: steps, samples, operations, and time based on a measured step. */

import { isStreamed, outlineDataset } from "../data/dataset-forms.ts";
import { placeDataset } from "../data/feed.ts";
import { type LoadOptions, loadDataset } from "../datasets/load.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Plan } from "../gpu/recording.ts";
import { materialize } from "../nn/model-state.ts";
import { parameterCount } from "../nn/module.ts";
import { partitionBatch, samplesOfSteps } from "../train/ghosts.ts";
import { activationType } from "../train/precision.ts";
import type { RegimePhase } from "../train/regime.ts";
import { Trainer } from "../train/trainer.ts";
import { batchStages } from "./growing-batch.ts";
import { type OutlinedStep, outlineStep } from "./outlined-step.ts";
import { type DataFacts, planRun } from "./plan-run.ts";
import { prepareRun } from "./prepare.ts";
import type { RunSpec } from "./run-spec.ts";
import { dataOptions, trainerOptions } from "./trainer-options.ts";

export interface RunCost {
  readonly spec: RunSpec;
  readonly parameters: number;
  readonly stepsPerEpoch: number;
  /** Steps over which the rate rises linearly to that of the first phase. */
  readonly warmupSteps: number;
  readonly steps: number;
  readonly epochs: number;
  readonly samples: number;
  readonly flopsPerSample: number;
  /** Operations of the training steps. One evaluation per epoch adds about 7 %. */
  readonly flops: number;
  /** Steps at which the learning rate changes, with the new rates. */
  readonly phases: readonly Pick<RegimePhase, "step" | "epoch" | "learningRate">[];
}

/** The facts of a run's data, from the files if only they tell. */
export async function dataFactsOf(spec: RunSpec, load: LoadOptions = {}): Promise<DataFacts> {
  const outline = outlineDataset(spec.dataset);
  const facts = outline ?? (await loadDataset(spec.dataset, load));
  const whole = "trainCount" in facts ? facts.trainCount : facts.train.count;
  const { name, classes, channels, height, width } = facts;
  return { name, classes, channels, height, width, count: spec.subset?.train ?? whole };
}

/** Costs of runs. Trains nothing, and needs no images except those of a folder. */
export async function costsOf(gpu: Gpu, specs: readonly RunSpec[], load: LoadOptions): Promise<RunCost[]> {
  const perSample = new Map<string, number>();
  const costs: RunCost[] = [];
  for (const spec of specs) {
    const facts = await dataFactsOf(spec, load);
    const { model, width, hidden, topology } = spec;
    const key = JSON.stringify([model, width, hidden, topology, facts]);
    const flopsPerSample = perSample.get(key) ?? flopsPerSampleOf(gpu, spec, facts);
    perSample.set(key, flopsPerSample);
    costs.push(costOf(spec, facts, flopsPerSample));
  }
  return costs;
}

/** The cost of one run, given the operations per sample, forward and backward. */
export function costOf(spec: RunSpec, facts: DataFacts, flopsPerSample: number): RunCost {
  const plans = batchStages(planRun(spec, facts), facts);
  const { model } = plans[0]!;
  let [steps, samples, epochs] = [0, 0, 0];
  const changes: { step: number; epoch: number; learningRate: number }[] = [];
  for (const { regime, epoch } of plans) {
    changes.push(
      ...regime.phases.map((phase) => ({
        step: steps + phase.step,
        epoch: epochs + phase.epoch,
        learningRate: phase.learningRate,
      })),
    );
    samples += samplesOfSteps(epoch, regime.totalSteps);
    steps += regime.totalSteps;
    epochs += regime.totalEpochs;
  }
  return {
    spec,
    parameters: parameterCount(model),
    stepsPerEpoch: plans[0]!.regime.stepsPerEpoch,
    warmupSteps: plans[0]!.regime.warmupSteps,
    steps,
    epochs,
    samples,
    flopsPerSample,
    flops: flopsPerSample * samples,
    phases: changes,
  };
}

/** Batch size for counting operations; the optimizer's share is that of a real batch, or slightly larger. */
const COUNTED_BATCH = 128;

function flopsPerSampleOf(gpu: Gpu, spec: RunSpec, facts: DataFacts): number {
  return plannedFlops(gpu, spec, facts, (outlined, samples) => {
    const layout = partitionBatch({ samples, batchSize: samples, ghostSize: samples, policy: "exact" });
    return outlined.plan(layout, samples);
  });
}

/** Operations of the forward pass, per sample. */
export async function forwardFlopsOf(gpu: Gpu, spec: RunSpec, load: LoadOptions): Promise<number> {
  const facts = await dataFactsOf(spec, load);
  return plannedFlops(gpu, spec, facts, (outlined, samples) => outlined.planEvaluation(samples));
}

/** Operations per sample of a planned step. */
function plannedFlops(
  gpu: Gpu,
  spec: RunSpec,
  facts: DataFacts,
  planOf: (outlined: OutlinedStep, samples: number) => Plan,
): number {
  const { model } = planRun(spec, facts);
  const samples = Math.min(COUNTED_BATCH, facts.count);
  const { result } = gpu.planOnly(() => {
    const running = { rule: spec.runningRule, momentum: spec.runningMomentum };
    const options = { augmentation: spec.augmentation, running, maximumGhosts: 1 };
    return planOf(outlineStep(gpu, { model, spec }, facts, options), samples);
  });
  return result.cost.flops / samples;
}

/**
 * Operations per second of one training step of a run, compiled and timed; the changed state is discarded. Null for
 * streamed data, whose speed is unknown in advance.
 */
export async function measureRate(gpu: Gpu, spec: RunSpec, load: LoadOptions): Promise<number | null> {
  if (isStreamed(spec.dataset)) return null;
  const prepared = await prepareRun({ ...spec, batchGrowth: false }, load);
  return gpu.lifetime(async () => {
    const { maximumGhosts } = prepared.epoch;
    const state = materialize(gpu, prepared.model, {
      seed: 0,
      maximumGhosts,
      activations: activationType(spec.precision),
    });
    const data = await placeDataset(gpu, prepared.dataset, dataOptions(prepared));
    const trainer = await Trainer.create(gpu, state, data, trainerOptions(prepared));
    await trainer.profile();
    const times = await trainer.profile();
    const seconds = times.reduce((sum, { ms }) => sum + ms, 0) / 1000;
    return trainer.plan.cost.flops / seconds;
  });
}
