/** The race: trainers of the five methods on one device, taking turns step by step. */
import type { ImageDataset } from "../data/dataset.ts";
import { type ResidentDataset, uploadDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { materialize } from "../nn/model-state.ts";
import { type Column, columnTitle } from "../paper/columns.ts";
import { factsOf, planRun } from "../run/plan-run.ts";
import { trainerOptions } from "../run/trainer-options.ts";
import { samplesOfSteps } from "../train/ghosts.ts";
import { type TrainEvent, Trainer } from "../train/trainer.ts";
import type { FromRace } from "./messages.ts";
import { Racer } from "./racer.ts";
import { raceSpec, type Settings } from "./settings.ts";

/** Steps between read-backs: frequent enough for smooth charts, rare enough to cost little. */
const LOG_EVERY = 16;
/** Milliseconds between reports of a trainer's progress. */
const PROGRESS_INTERVAL = 100;

export interface RaceControl {
  /** Whether the race waits before its next round. */
  readonly isPaused: boolean;
  /** Waits while the race is paused. */
  turn(): Promise<void>;
}

interface Runner {
  readonly column: Column;
  readonly trainer: Trainer;
  readonly racer: Racer;
  steps: number;
  isFinite: boolean;
}

/** Trains all methods of the settings to the end, and reports progress. @throws errors of the device */
export function race(
  gpu: Gpu,
  dataset: ImageDataset,
  settings: Settings,
  { control, say }: { control: RaceControl; say: (message: FromRace) => void },
): Promise<void> {
  return gpu.lifetime(async () => {
    const data = uploadDataset(gpu, dataset);
    const runners: Runner[] = [];
    for (const column of settings.methods) {
      say({ kind: "phase", text: `Compiling ${columnTitle(column)}` });
      runners.push(await prepareRunner(gpu, { data, dataset, settings, column, say }));
    }
    await gpu.settle();
    say({
      kind: "ready",
      racers: runners.map(({ column, trainer }) => ({
        column,
        totalSteps: trainer.options.regime.totalSteps,
        dispatchesPerStep: trainer.plan.dispatches,
      })),
    });
    await takeTurns(gpu, runners, { control, say });
    say({ kind: "finished" });
  });
}

async function takeTurns(
  gpu: Gpu,
  runners: readonly Runner[],
  { control, say }: { control: RaceControl; say: (message: FromRace) => void },
): Promise<void> {
  let running = [...runners];
  let told = performance.now();
  for (let round = 0; running.length > 0; round++) {
    if (control.isPaused) {
      for (const runner of running) say(progressOf(runner));
      say({ kind: "paused", rounds: round });
    }
    await control.turn();
    // A user requests a single step to see its effect.
    if (control.isPaused) for (const { trainer } of running) trainer.requestMetrics();
    for (const runner of running) {
      const goesOn = await runner.racer.turn();
      runner.steps = Math.min(runner.steps + 1, runner.trainer.options.regime.totalSteps);
      if (!runner.isFinite) await runner.racer.stop();
      if (goesOn && runner.isFinite) continue;
      running = running.filter((other) => other !== runner);
      say(progressOf(runner));
    }
    if (round === 0) {
      await gpu.settle();
      say({ kind: "first step" });
    }
    if (performance.now() - told < PROGRESS_INTERVAL) continue;
    told = performance.now();
    for (const runner of running) say(progressOf(runner));
  }
}

function progressOf({ column, steps, trainer }: Runner): FromRace {
  return { kind: "progress", column, steps, samples: samplesOfSteps(trainer.options.epoch, steps) };
}

interface RunnerParts {
  readonly data: ResidentDataset;
  readonly dataset: ImageDataset;
  readonly settings: Settings;
  readonly column: Column;
  readonly say: (message: FromRace) => void;
}

async function prepareRunner(
  gpu: Gpu,
  { data, dataset, settings, column, say }: RunnerParts,
): Promise<Runner> {
  const plan = planRun(raceSpec(settings, column), factsOf(dataset));
  const { model, epoch, spec } = plan;
  const state = materialize(gpu, model, { seed: spec.seed, maximumGhosts: epoch.maximumGhosts });
  const trainer = await Trainer.create(gpu, state, data, trainerOptions(plan, LOG_EVERY));
  const racer = new Racer(trainer, (event) => {
    say(pointsOf(column, trainer, event));
    if (event.kind !== "metrics" || staysFinite(event)) return;
    runner.isFinite = false;
    say({ kind: "diverged", column, step: event.steps.at(-1)!.step });
  });
  const runner: Runner = { column, trainer, racer, steps: 0, isFinite: true };
  return runner;
}

function staysFinite({ nonFinite, steps }: Extract<TrainEvent, { kind: "metrics" }>): boolean {
  return nonFinite === 0 && steps.every(({ loss }) => Number.isFinite(loss));
}

function pointsOf(column: Column, trainer: Trainer, event: TrainEvent): FromRace {
  const point = (step: number, value: number) => ({
    step,
    samples: samplesOfSteps(trainer.options.epoch, step),
    value,
  });
  const points =
    event.kind === "metrics"
      ? {
          loss: event.steps.map(({ step, loss }) => point(step, loss)),
          distance: event.distances.map(({ step, distanceAll }) => point(step, distanceAll)),
        }
      : { accuracy: [point(event.step, event.accuracy)] };
  return { kind: "points", column, points };
}
