/**
 * `ghostbatch tune`: for each question that the launchers of a training step ask, the fastest of their ways on this adapter; then the
 * step with all winners beside the step without.
 */
import type { Command } from "../../gpu/command.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { Arena, listCommands, type Recording, record } from "../../gpu/recording.ts";
import { type Question, Tuning, type Way } from "../../gpu/tuning.ts";
import { launchSumRows } from "../../kernels/sum-rows.ts";
import { quantile } from "../../support/statistics.ts";
import { empty } from "../../tensor/tensor.ts";
import { captureCommands } from "../capture.ts";
import { prepareStep, type StepOptions } from "../step.ts";
import { type MeasuredQuestion, measureQuestion } from "./measure-question.ts";

export interface TuneOptions extends Omit<StepOptions, "n"> {
  readonly minutes: number;
}

export interface TuneReport {
  /** Questions of the step, those that take most of its time first; those beyond the time budget are left out. */
  readonly questions: readonly (MeasuredQuestion & { readonly share: number; readonly dispatches: number })[];
  /** Questions that the budget had no time for. */
  readonly left: number;
  /** Time of the tuned step to that of the untuned one, pair by pair: median and quartiles; null where every default won. */
  readonly step: {
    readonly n: number;
    readonly ratio: number;
    readonly low: number;
    readonly high: number;
  } | null;
  /** Of every question that was measured: its winner, or the default of all where the step as a whole is not faster by them. */
  readonly choices: Readonly<Record<string, Way>>;
}

/** Pairs of steps in the final comparison, at least; more while there is time. */
const PAIRS = { least: 9, most: 49 };
/** Of the time budget, what the final comparison keeps for itself. */
const KEPT_SHARE = 0.15;

/**
 * @param onProgress is told what is being done, and which share of the budget is used
 * @throws as prepareStep
 */
export function tuneStep(
  gpu: Gpu,
  { minutes, ...options }: TuneOptions,
  onProgress: (phase: string, share: number) => void,
): Promise<TuneReport> {
  return gpu.lifetime(async () => {
    const { body, step } = prepareStep(gpu, options);
    step.write({ ...STILL, step: 0, firstSample: 0 });
    return tune(gpu, body, minutes, onProgress);
  });
}

/** The same for whatever `body` dispatches. */
export async function tune(
  gpu: Gpu,
  body: () => void,
  minutes: number,
  onProgress: (phase: string, share: number) => void = () => undefined,
): Promise<TuneReport> {
  const begun = performance.now();
  const used = () => (performance.now() - begun) / (minutes * 60_000);
  const enough = () => used() > 1 - KEPT_SHARE;
  const before = gpu.tuning;
  try {
    const untuned = new Tuning();
    gpu.tuning = untuned;
    const arena = new Arena(gpu);
    onProgress("recording the step", used());
    const recording = await record(gpu, arena, "untuned", body);
    const shares = await sharesOf(recording);
    const shareOf = (key: string) => shares.get(key)?.share ?? 0;
    const asked = untuned.questions.filter(({ key, ways }) => ways.length > 1 && shares.has(key));
    asked.sort((a, b) => shareOf(b.key) - shareOf(a.key));
    const launches = waysOf(gpu, body, asked);

    const questions: TuneReport["questions"][number][] = [];
    for (const question of asked) {
      if (enough()) break;
      onProgress(`${questions.length + 1} of ${asked.length}: ${question.key}`, used());
      gpu.tuning = new Tuning();
      const measured = await measureQuestion(gpu, question, launches.get(question.key)!, enough);
      questions.push({ ...measured, ...shares.get(question.key)! });
    }
    const choices = (won: boolean) =>
      Object.fromEntries(
        questions.map(({ key, ways, winner }) => [key, (won ? winner : null) ?? ways[0]!.way]),
      );
    const left = asked.length - questions.length;
    if (questions.every(({ winner }) => winner === null)) {
      return { questions, left, step: null, choices: choices(false) };
    }
    onProgress("the step with the winners beside the step without", used());
    gpu.tuning = new Tuning(choices(true));
    const step = await compare(gpu, recording, await record(gpu, arena, "tuned", body), () => used() > 1);
    return { questions, left, step, choices: choices(step.ratio < 1) };
  } finally {
    gpu.tuning = before;
  }
}

const STILL = { learningRate: 1e-3, momentum: 0.9, weightDecay: 1e-4, clipNorm: 5, seed: 1, epoch: 0 };

/** Of the dispatches of each choice: their share of the step's time, and how many there are. */
async function sharesOf(recording: Recording): Promise<Map<string, { share: number; dispatches: number }>> {
  recording.replay(); // the first step compiles on some drivers
  const times = await recording.profile();
  const total = times.reduce((sum, { ms }) => sum + ms, 0);
  const shares = new Map<string, { share: number; dispatches: number }>();
  for (const [index, { command }] of recording.dispatches.entries()) {
    const { choice } = command.launch;
    if (choice === undefined) continue;
    const { share, dispatches } = shares.get(choice) ?? { share: 0, dispatches: 0 };
    shares.set(choice, { share: share + times[index]!.ms / total, dispatches: dispatches + 1 });
  }
  return shares;
}

/** For each question the launch of each way: its first in the step. */
function waysOf(
  gpu: Gpu,
  body: () => void,
  questions: readonly Question[],
): Map<string, (readonly Command[])[]> {
  const launches = new Map<string, (readonly Command[])[]>();
  const most = Math.max(0, ...questions.map(({ ways }) => ways.length));
  for (let index = 0; index < most; index++) {
    gpu.tuning = new Tuning(
      Object.fromEntries(
        questions.flatMap(({ key, ways }) => (ways[index] ? [[key, ways[index]] as const] : [])),
      ),
    );
    const commands = listCommands(gpu, body);
    for (const { key, ways, results } of questions) {
      if (!ways[index]) continue;
      const launch = withSums(gpu, launchOf(commands, key), results);
      launches.set(key, [...(launches.get(key) ?? []), launch]);
    }
  }
  return launches;
}

/** A launch is one dispatch, or several of the same choice one behind the other, of different kernels. */
function launchOf(commands: readonly Command[], key: string): readonly Command[] {
  const first = commands.findIndex(({ launch }) => launch.choice === key);
  const launch = [commands[first]!];
  for (const command of commands.slice(first + 1)) {
    if (command.launch.choice !== key || launch.some(({ kernel }) => kernel.file === command.kernel.file))
      break;
    launch.push(command);
  }
  return launch;
}

/**
 * A launch with what adds up its partial sums. A step leaves that to one dispatch for all layers, but it takes the longer the more of them
 * there are.
 */
function withSums(gpu: Gpu, launch: readonly Command[], results: number): readonly Command[] {
  const last = launch.at(-1)!;
  const output = gpu.pipelines.shader(last.kernel).bindings.find(({ kind }) => kind === "read_write")!;
  const partials = last.launch.buffers[output.name]!;
  const rows = partials.byteLength / 4 / results;
  if (rows < 2 || !Number.isInteger(rows)) return launch;
  const sum = () => launchSumRows({ x: empty(gpu, [rows, results]), y: empty(gpu, [results]) });
  const [command] = gpu.planOnly(() => captureCommands(gpu, gpu.variant, sum)).result;
  const { kernel, launch: added } = command!;
  return [...launch, { kernel, launch: { ...added, buffers: { ...added.buffers, x: partials } } }];
}

/** Both steps in turn, so that what disturbs one disturbs the other. */
async function compare(gpu: Gpu, untuned: Recording, tuned: Recording, enough: () => boolean) {
  const timeOf = async (recording: Recording) => {
    const begin = performance.now();
    recording.replay();
    await gpu.settle();
    return performance.now() - begin;
  };
  for (const recording of [untuned, tuned, untuned, tuned]) await timeOf(recording);
  const ratios: number[] = [];
  for (let pair = 0; pair < PAIRS.least || (pair < PAIRS.most && !enough()); pair++) {
    // Whoever is second finds the other's data in the caches: they take turns at it.
    const first = pair % 2 === 0 ? untuned : tuned;
    const a = await timeOf(first);
    const b = await timeOf(first === untuned ? tuned : untuned);
    ratios.push(first === untuned ? b / a : a / b);
  }
  const [ratio, low, high] = [0.5, 0.25, 0.75].map((q) => quantile(ratios, q)) as [number, number, number];
  return { n: ratios.length, ratio, low, high };
}
