import { basename } from "node:path";
import Table from "cli-table3";
import { Argument, Command, Option } from "commander";
import { cellSpec } from "../../experiments/columns.ts";
import { imagesFor } from "../../experiments/images.ts";
import { drawBatch, measureCovariance } from "../../experiments/measure/covariance.ts";
import {
  GradientMoments,
  meanToDeviation,
  noiseScale,
} from "../../experiments/measure/gradient-noise-scale.ts";
import { type MeasuredPoint, pointAfter, pointOfRun } from "../../experiments/measure/point.ts";
import { GradientProbe } from "../../experiments/measure/probe.ts";
import { type DirectionKind, measureDirections } from "../../experiments/measure/random-directions.ts";
import { measureSharpness, type SharpnessSpace } from "../../experiments/measure/sharpness.ts";
import { type Scale, settingsOf } from "../../experiments/scale.ts";
import { ROWS } from "../../experiments/table1.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { describeDirections } from "../../report/describe-measurement.ts";
import { ledgerOf } from "../../report/ledger.ts";
import { readRun } from "../../storage/read-run.ts";
import { UsageError } from "../../support/errors.ts";
import { formatCount, formatDuration, formatQuantity } from "../../support/format.ts";
import {
  adapterOption,
  dataDirOption,
  jsonOption,
  listOf,
  realNumber,
  runsDirOption,
  scaleOption,
  wholeNumber,
} from "../options.ts";
import { openSession, writeRecord } from "../request.ts";

interface MeasureFlags {
  adapter?: string;
  dataDir?: string;
  runsDir: string;
  json?: boolean;
  run?: string;
  model?: string[];
  scale: Scale;
  epochs: number;
  seed: number;
  draws: number;
  target?: number;
}

/** What each measurement returns: plain JSON for the record, lines for the terminal. */
interface Measured {
  readonly data: unknown;
  readonly lines: readonly string[];
  readonly notes?: readonly string[];
}

type Measurement = (
  gpu: Gpu,
  point: MeasuredPoint,
  flags: MeasureFlags & { ghost: number },
) => Promise<Measured>;

const MEASUREMENTS: Readonly<Record<string, { about: string; measure: Measurement }>> = {
  ratio: {
    about: "mean over deviation of the gradient, ρ(B), and its median over coordinates",
    measure: measureRatio,
  },
  covariance: {
    about: "trace of the gradient's covariance against the batch size, with and without ghosts",
    measure: covariance,
  },
  "noise-scale": {
    about: "the gradient noise scale with a 95 % interval, or undetermined",
    measure: measureNoiseScale,
  },
  sharpness: {
    about: "Keskar's sharpness in the full space, in 100 dimensions, and scale-free",
    measure: sharpness,
  },
  directions: { about: "the loss along random directions, plain and scaled by tensor", measure: directions },
};

export function measureCommand(): Command {
  const names = [...Object.keys(MEASUREMENTS), "ledger"];
  const about = Object.entries(MEASUREMENTS).map(([name, entry]) => `  ${name.padEnd(12)} ${entry.about}`);
  const command = new Command("measure")
    .description(
      "what the paper argues with and did not measure, at the weights of a run or after some epochs",
    )
    .addArgument(new Argument("<what>", "the measurement").choices(names))
    .argument("[runs...]", "run folders, for ledger")
    .addOption(
      new Option(
        "--run <folder>",
        "a finished run, at its final weights (default: a fresh model after --epochs)",
      ),
    )
    .addOption(
      new Option(
        "--model <row>",
        `row of Table 1: ${Object.keys(ROWS).join(", ")} (default: f1 at small scale, else resnet44)`,
      ).argParser(listOf(Object.keys(ROWS))),
    )
    .addOption(scaleOption())
    .addOption(
      new Option("--epochs <number>", "epochs of the small batch before measuring; 0: at the start")
        .argParser(realNumber(0))
        .default(1),
    )
    .addOption(
      new Option("--seed <number>", "of the model and of what is drawn").argParser(wholeNumber(0)).default(0),
    )
    .addOption(
      new Option("--draws <count>", "batches, rounds or directions").argParser(wholeNumber(2)).default(24),
    )
    .addOption(
      new Option("--target <percent>", "ledger: the test accuracy to be reached").argParser(realNumber(0)),
    );
  for (const option of [adapterOption(), dataDirOption(), runsDirOption(), jsonOption()])
    command.addOption(option);
  return command
    .addHelpText(
      "after",
      `\nMeasurements:\n${about.join("\n")}\n  ${"ledger".padEnd(12)} samples, steps, FLOP and seconds of runs to a target accuracy`,
    )
    .action(measure);
}

async function measure(what: string, runs: string[], flags: MeasureFlags): Promise<void> {
  if (what === "ledger") return ledger(runs, flags);
  if (runs.length > 0) throw new UsageError(`measure ${what}: takes one run, by --run`);
  const session = openSession(flags);
  const gpu = await session.open();
  const row = ROWS[flags.model?.[0] ?? (flags.scale === "small" ? "f1" : "resnet44")]!;
  const { ghost } = row.scales[settingsOf(flags.scale).base];
  const { measured, description } = await gpu.lifetime(async () => {
    const point =
      flags.run === undefined
        ? await freshPoint(gpu, flags)
        : await pointOfRun(gpu, flags.run, flags.dataDir);
    const ghostSize =
      flags.run === undefined
        ? ghost
        : (point.spec.ghostSize ?? Math.min(point.spec.referenceBatchSize, point.spec.batchSize));
    const measured = await MEASUREMENTS[what]!.measure(gpu, point, { ...flags, ghost: ghostSize });
    return { measured, description: point.description };
  });
  const place =
    flags.run === undefined
      ? `${flags.model?.[0] ?? "default"}-${flags.scale}-epoch${flags.epochs}`
      : basename(flags.run);
  const id = `measure-${what}-${place}`;
  const notes = [`measured at ${description}`, ...(measured.notes ?? [])];
  const path = await writeRecord(flags.runsDir, {
    kind: `measure-${what}`,
    id,
    title: `${MEASUREMENTS[what]!.about}`,
    scale: String(flags.scale),
    notes,
    series: [],
    data: measured.data,
  });
  if (flags.json) {
    console.log(JSON.stringify({ record: path, notes, data: measured.data }, null, 2));
    return;
  }
  for (const line of [...notes, ...measured.lines]) console.log(line);
  console.log(`the report: ghostbatch report --experiment ${id} --runs-dir ${flags.runsDir}`);
}

function freshPoint(gpu: Gpu, { model, scale, seed, epochs, dataDir }: MeasureFlags): Promise<MeasuredPoint> {
  const row = ROWS[model?.[0] ?? (scale === "small" ? "f1" : "resnet44")]!;
  const { dataset: images } = imagesFor(row, scale, dataDir);
  return pointAfter(gpu, cellSpec(row, { column: "SB", scale, seed, images }), epochs, dataDir);
}

async function covariance(
  _: Gpu,
  { state, data }: MeasuredPoint,
  { ghost, draws, seed }: MeasureFlags & { ghost: number },
): Promise<Measured> {
  const batchSizes = [1, 2, 4, 8, 16, 32, 64]
    .map((factor) => factor * ghost)
    .filter((size) => size <= data.train.count);
  const onProgress = (text: string) => console.error(text);
  const ghosts = await measureCovariance(
    state,
    data,
    { batchSizes, ghostSize: ghost, draws, seed },
    onProgress,
  );
  const whole = await measureCovariance(
    state,
    data,
    { batchSizes, ghostSize: null, draws, seed },
    onProgress,
  );
  const lines = [ghosts, whole].map(({ ghostSize, slope, slopeError, points }) => {
    const [first, last] = [points[0]!, points.at(-1)!];
    return (
      `${ghostSize === null ? "batch norm over the whole batch" : `ghosts of ${ghostSize}`}: trace falls as M^${slope.toFixed(3)} ± ${slopeError.toFixed(3)}; ` +
      `M·tr ${first.scaled.toPrecision(3)} at ${first.batchSize}, ${last.scaled.toPrecision(3)} at ${last.batchSize}`
    );
  });
  return { data: [ghosts, whole], lines, notes: [`${draws} batches of the largest size and √(largest / M) times as many of M, drawn with replacement`] };
}

/** Small batches of one round of the noise scale: the large batch is so many times larger. */
const BATCHES_PER_ROUND = 8;

async function measureNoiseScale(
  _: Gpu,
  { state, data }: MeasuredPoint,
  { ghost, draws, seed }: MeasureFlags & { ghost: number },
): Promise<Measured> {
  const probe = await GradientProbe.create(state, data, { batchSize: ghost, ghostSize: ghost });
  const rounds = [];
  for (let round = 0; round < draws; round++) {
    const moments = new GradientMoments(state.gradients.size);
    for (let i = 0; i < BATCHES_PER_ROUND; i++) {
      const draw = round * BATCHES_PER_ROUND + i;
      moments.add((await probe.gradient(drawBatch(ghost, data.train.count, { seed, draw }), draw)).gradient);
    }
    rounds.push({ small: moments.squares / moments.count, large: moments.squaredMean });
  }
  const large = BATCHES_PER_ROUND * ghost;
  const result = noiseScale(rounds, { small: ghost, large });
  const { scale, interval, squaredGradient, trace } = result;
  const text =
    scale === null
      ? "undetermined: the estimate of ‖g‖² without noise is not above 0; more --draws"
      : `${scale.toFixed(0)} samples${interval ? `, 95 % interval ${interval.low.toFixed(0)} to ${interval.high.toFixed(0)}` : ", its interval undetermined: more --draws"}`;
  return {
    data: { ...result, small: ghost, large, rounds },
    lines: [
      `gradient noise scale: ${text}`,
      `‖g‖² ${squaredGradient.toExponential(2)}, tr C of one sample ${trace.toExponential(2)}`,
    ],
    notes: [
      `${draws} rounds of ${BATCHES_PER_ROUND} batches of ${ghost}; noise of ghost gradients: with batch norm a single sample has none`,
    ],
  };
}

async function measureRatio(
  _: Gpu,
  { state, data }: MeasuredPoint,
  { ghost, draws, seed }: MeasureFlags & { ghost: number },
): Promise<Measured> {
  const probe = await GradientProbe.create(state, data, { batchSize: ghost, ghostSize: ghost });
  const moments = new GradientMoments(state.gradients.size);
  // A ratio of two sums needs more batches than a slope does.
  const batches = 4 * draws;
  for (let draw = 0; draw < batches; draw++) {
    moments.add((await probe.gradient(drawBatch(ghost, data.train.count, { seed, draw }), draw)).gradient);
  }
  const squaredGradient = moments.squaredMean - moments.trace / moments.count;
  const scale = squaredGradient > 0 ? (moments.trace * ghost) / squaredGradient : null;
  const sizes = [ghost, 4 * ghost, 32 * ghost];
  const ratios = sizes.map((batchSize) => ({
    batchSize,
    ratio: scale === null ? null : meanToDeviation(batchSize, scale),
  }));
  const lines =
    scale === null
      ? ["undetermined: the mean of the gradient is not told from 0; more --draws"]
      : ratios.map(
          ({ batchSize, ratio }) =>
            `batch ${batchSize}: ‖E[Δw]‖ / √tr cov = ${ratio!.toFixed(3)}${ratio! >= 0.1 ? "" : ", the mean is far below the deviation"}`,
        );
  const medianRatio = moments.medianRatio;
  return {
    data: { ghostSize: ghost, batches, scale, ratios, medianRatio },
    lines: [
      ...lines,
      `median over coordinates of |mean| / deviation, batches of ${ghost}: ${medianRatio.toFixed(3)}`,
    ],
    notes: [`${batches} batches of ${ghost}`],
  };
}

/** Samples of the loss that sharpness and directions are measured on. */
const LOSS_SAMPLES = 2048;

async function lossProbe({ state, data }: MeasuredPoint, ghost: number) {
  const wanted = Math.min(LOSS_SAMPLES, data.train.count);
  const batchSize = Math.max(ghost, wanted - (wanted % ghost));
  const probe = await GradientProbe.create(state, data, { batchSize, ghostSize: ghost });
  return {
    probe,
    samples: Uint32Array.from({ length: batchSize }, (_, i) => i),
    note: `loss on ${batchSize} training images in ghosts of ${ghost}`,
  };
}

async function sharpness(
  _: Gpu,
  point: MeasuredPoint,
  { ghost, seed }: MeasureFlags & { ghost: number },
): Promise<Measured> {
  const { probe, samples, note } = await lossProbe(point, ghost);
  const choices: [SharpnessSpace, number][] = [
    ...(["full", "random"] as const).flatMap((space) =>
      [1e-3, 5e-4].map((epsilon): [SharpnessSpace, number] => [space, epsilon]),
    ),
    ["scale-free", 1e-2],
  ];
  const results = [];
  for (const [space, epsilon] of choices)
    results.push(await measureSharpness(point.state, probe, samples, { space, epsilon, seed }));
  return {
    data: results,
    lines: results.map(
      ({ space, epsilon, sharpness, startLoss, highestLoss }) =>
        `${space.padEnd(10)} ε ${epsilon}: at least ${sharpness.toPrecision(3)} (loss ${startLoss.toFixed(4)} to ${highestLoss.toFixed(4)})`,
    ),
    notes: [note, "ten steps of projected ascent: lower bounds"],
  };
}

async function directions(
  _: Gpu,
  point: MeasuredPoint,
  { ghost, seed, draws }: MeasureFlags & { ghost: number },
): Promise<Measured> {
  const { probe, samples, note } = await lossProbe(point, ghost);
  const results = [];
  for (const kind of ["unit", "filter"] as const satisfies readonly DirectionKind[]) {
    for (const range of [0.1, 1, 10])
      results.push(
        await measureDirections(point.state, probe, samples, { kind, range, directions: draws, seed }),
      );
  }
  return {
    data: results,
    lines: describeDirections(results),
    notes: [note, `${draws} directions for each range`],
  };
}

async function ledger(folders: readonly string[], { target, json, runsDir }: MeasureFlags): Promise<void> {
  if (target === undefined || folders.length === 0)
    throw new UsageError("measure ledger: expected run folders and --target PERCENT");
  const runs = await Promise.all(folders.map((folder) => readRun(folder)));
  const entries = runs.map((run) => ledgerOf(run, target));
  if (json) {
    console.log(JSON.stringify({ target, runsDir, entries }, null, 2));
    return;
  }
  const table = new Table({
    head: ["run", `steps to ${target} %`, "samples", "FLOP", "time", "final"],
    style: { head: [], border: [] },
    colAligns: ["left", "right", "right", "right", "right", "right"],
  });
  for (const { name, reached, final } of entries) {
    const numbers = reached
      ? [
          formatCount(reached.steps),
          formatCount(reached.samples),
          formatQuantity(reached.flops, "FLOP"),
          formatDuration(reached.seconds),
        ]
      : ["not reached", "", "", ""];
    table.push([name, ...numbers, final === null ? "" : `${final.toFixed(2)} %`]);
  }
  console.log(table.toString());
}
