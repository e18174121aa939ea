/**
 * `ghostbatch tune`: for each question that the launchers of a training step ask, finds the fastest way on this adapter. If both matrix
 * and wide kernels can run a shape, finds which are faster. Then compares the step with all winners to the step without.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { Arena, type Recording } from "../../gpu/recording.ts";
import { Tuning, type Way } from "../../gpu/tuning.ts";
import { WIDE } from "../../kernels/tile-choice.ts";
import { quantile } from "../../support/statistics.ts";
import { checkMatrices } from "../self-test.ts";
import { prepareStep, type StepOptions } from "../step.ts";
import { type ComparedVariants, compareVariants } from "./compare-variants.ts";
import { type MeasuredQuestion, measureQuestion } from "./measure-question.ts";
import { type Choices, recordWith, type SidesOfStep, sidesOf } from "./sides.ts";
import { waysOf } from "./ways.ts";

export interface TuneBudget {
  readonly minutes: number;
  /** Whether matrix kernels and wide ones compete for each shape; if not, those of `gpu.variant` are tuned alone. */
  readonly matrices?: boolean;
}

export interface TuneOptions extends Omit<StepOptions, "n">, TuneBudget {}

/** A question whose ways were timed. */
export type TunedQuestion = MeasuredQuestion & { readonly share: number; readonly dispatches: number };

export interface TuneReport {
  /** Questions of the step, the most time-consuming first; those beyond the time budget are left out. */
  readonly questions: readonly TunedQuestion[];
  /** For the shapes that both matrix and wide kernels can run: which is faster, each with its own fastest tile. */
  readonly variants: readonly ComparedVariants[];
  /** Number of questions for which the budget was too short. */
  readonly left: number;
  /** Time of the tuned step divided by that of the untuned one, pair by pair: median and quartiles; null if every default won. */
  readonly step: {
    readonly n: number;
    readonly ratio: number;
    readonly low: number;
    readonly high: number;
  } | null;
  /** For every measured question: its winner, or its default if the winners do not make the whole step faster. */
  readonly choices: Readonly<Record<string, Way>>;
}

/** Pairs of steps in the final comparison, at least; more while there is time. */
const PAIRS = { least: 9, most: 49 };
/** The share of the time budget at which each part of the search ends; the rest is for the final comparison. */
const DONE_BY = { tiles: 0.85, tilesOfBoth: 0.7, variants: 0.85 };

/**
 * @param onProgress receives what is being done, and the share of the budget that is used
 * @throws as prepareStep; DeviceError if matrix kernels compete and give wrong results
 */
export function tuneStep(
  gpu: Gpu,
  { minutes, matrices, ...options }: TuneOptions,
  onProgress: (phase: string, share: number) => void,
): Promise<TuneReport> {
  return gpu.lifetime(async () => {
    if (matrices) await checkMatrices(gpu);
    const { body, step } = prepareStep(gpu, options);
    step.write({ ...STILL, step: 0, firstSample: 0 });
    return tune(gpu, body, { minutes, matrices }, onProgress);
  });
}

/** The same for the dispatches of `body`. */
export async function tune(
  gpu: Gpu,
  body: () => void,
  { minutes, matrices = gpu.variant === "matrix" }: TuneBudget,
  onProgress: (phase: string, share: number) => void = () => undefined,
): Promise<TuneReport> {
  const begun = performance.now();
  const used = () => (performance.now() - begun) / (minutes * 60_000);
  const say = (phase: string) => onProgress(phase, used());
  const before = { tuning: gpu.tuning, variant: gpu.variant };
  const standard = before.variant === "matrix" || !matrices ? "matrix" : "wide";
  try {
    if (matrices) gpu.variant = "matrix";
    const arena = new Arena(gpu);
    say("recording the step");
    const sides = await sidesOf(gpu, arena, body);
    const tilesDone = sides.wide ? DONE_BY.tilesOfBoth : DONE_BY.tiles;
    const questions = await measureTiles(gpu, body, sides, { enough: () => used() > tilesDone, say });
    const tiles = choicesOf(questions, true);
    const variants: ComparedVariants[] = [];
    if (sides.wide) {
      say("matrix kernels beside wide ones");
      const steps = {
        matrix: await recordWith(gpu, arena, body, tiles),
        wide: await recordWith(gpu, arena, body, { ...tiles, ...sides.wide.base }),
      };
      const enough = () => used() > DONE_BY.variants;
      variants.push(...(await compareVariants(steps, sides.keys, standard, enough)));
    }
    const choices = { ...tiles, ...variantChoices(sides, variants, tiles) };
    const untuned = variants.map((one): ComparedVariants => ({ ...one, winner: standard }));
    const defaults = choicesOf(questions, false);
    Object.assign(defaults, variantChoices(sides, untuned, defaults));
    const report = { questions, variants, left: sides.asked.length - questions.length };
    if (JSON.stringify(choices) === JSON.stringify(defaults)) return { ...report, step: null, choices };
    say("the step with the winners beside the step without");
    const plain = standard === "wide" ? sides.wide : sides.matrix;
    const tuned = await recordWith(gpu, arena, body, choices);
    const step = await compare(gpu, (plain ?? sides.matrix).recording, tuned, () => used() > 1);
    return { ...report, step, choices: step.ratio < 1 ? choices : defaults };
  } finally {
    gpu.tuning = before.tuning;
    gpu.variant = before.variant;
  }
}

async function measureTiles(
  gpu: Gpu,
  body: () => void,
  { asked }: SidesOfStep,
  { enough, say }: { enough: () => boolean; say: (phase: string) => void },
): Promise<TunedQuestion[]> {
  const launches = waysOf(gpu, body, asked);
  const questions: TunedQuestion[] = [];
  for (const question of asked) {
    if (questions.length > 0 && enough()) break; // some drivers compile for longer than the whole budget
    const { key, share, dispatches } = question;
    say(`${questions.length + 1} of ${asked.length}: ${key}`);
    gpu.tuning = new Tuning();
    const measured = await measureQuestion(gpu, question, launches.get(key)!, enough);
    questions.push({ ...measured, share, dispatches });
  }
  return questions;
}

/** The winners, or the defaults. */
function choicesOf(questions: readonly TunedQuestion[], won: boolean): Record<string, Way> {
  return Object.fromEntries(
    questions.map(({ key, ways, winner }) => [key, (won ? winner : null) ?? ways[0]!.way]),
  );
}

/** The answers to the matrix kernels' questions: a tile, or the wide kernels. */
function variantChoices(
  { standardTiles }: SidesOfStep,
  variants: readonly ComparedVariants[],
  tiles: Choices,
): Choices {
  return Object.fromEntries(
    variants.map(({ key, winner }) => [key, winner === "wide" ? WIDE : (tiles[key] ?? standardTiles[key]!)]),
  );
}

const STILL = { learningRate: 1e-3, momentum: 0.9, weightDecay: 1e-4, clipNorm: 5, seed: 1, epoch: 0 };

/** Runs both steps in turn, so that a disturbance affects both. */
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
    // The second one finds the other's data in the caches, so they take turns at being second.
    const first = pair % 2 === 0 ? untuned : tuned;
    const a = await timeOf(first);
    const b = await timeOf(first === untuned ? tuned : untuned);
    ratios.push(first === untuned ? b / a : a / b);
  }
  const [ratio, low, high] = [0.5, 0.25, 0.75].map((q) => quantile(ratios, q)) as [number, number, number];
  return { n: ratios.length, ratio, low, high };
}
