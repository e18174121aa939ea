/** The questions that the launchers of a step ask `gpu.tuning`: with matrix kernels where those can run, and without. */
import type { Gpu } from "../../gpu/gpu.ts";
import { type Arena, type Recording, record } from "../../gpu/recording.ts";
import { type Question, Tuning, type Way } from "../../gpu/tuning.ts";
import { WIDE } from "../../kernels/tile-choice.ts";

export type Choices = Readonly<Record<string, Way>>;

/** A question of the step, with the choices under which it is asked. */
export interface Asked extends Question {
  readonly base: Choices;
  readonly share: number;
  readonly dispatches: number;
}

export interface Side {
  readonly base: Choices;
  readonly recording: Recording;
}

/** The untuned step, with matrix kernels where those can run, and without. */
export interface SidesOfStep {
  readonly matrix: Side;
  /** Null if no shape of the step can run on matrices. */
  readonly wide: Side | null;
  /** Keys of the questions that matrix kernels ask. */
  readonly keys: readonly string[];
  /** The first tile of each of these. */
  readonly standardTiles: Choices;
  /** Questions of both sides with several tiles, the most time-consuming first. */
  readonly asked: readonly Asked[];
}

export async function sidesOf(gpu: Gpu, arena: Arena, body: () => void): Promise<SidesOfStep> {
  const ask = async (base: Choices) => {
    const recording = await recordWith(gpu, arena, body, base);
    const { questions } = gpu.tuning;
    const shares = await sharesOf(recording);
    return { base, recording, questions, shares };
  };
  const first = await ask({});
  const onMatrices = first.questions.filter(({ ways }) => ways.includes(WIDE));
  const keys = onMatrices.map(({ key }) => key);
  const second = keys.length > 0 ? await ask(Object.fromEntries(keys.map((key) => [key, WIDE]))) : null;
  const asked = new Map<string, Asked>();
  for (const { base, questions, shares } of [first, ...(second ? [second] : [])]) {
    for (const { ways: all, ...question } of questions) {
      const ways = all.filter((way) => way !== WIDE);
      const share = shares.get(question.key);
      if (ways.length < 2 || !share || asked.has(question.key)) continue;
      asked.set(question.key, { ...question, ways, base, ...share });
    }
  }
  return {
    matrix: first,
    wide: second,
    keys,
    standardTiles: Object.fromEntries(onMatrices.map(({ key, ways }) => [key, ways[0]!])),
    asked: [...asked.values()].sort((a, b) => b.share - a.share),
  };
}

/** Records the step with these choices; `gpu.tuning` has then received all its questions. */
export function recordWith(gpu: Gpu, arena: Arena, body: () => void, choices: Choices): Promise<Recording> {
  gpu.tuning = new Tuning(choices);
  return record(gpu, arena, "tune", body);
}

/** For the dispatches of each choice: their share of the step's time, and their number. */
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
