import { Command, Option } from "commander";
import { adapterLine, jsonText, table } from "../../bench/output.ts";
import { milliseconds } from "../../bench/sample.ts";
import { type TuneReport, tuneStep } from "../../bench/tune/tune.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Way } from "../../gpu/tuning.ts";
import { loadModel } from "../../host/node/model-file.ts";
import { openGpu } from "../../host/node/open-gpu.ts";
import { keepTuning } from "../../host/node/tuning-store.ts";
import { matricesCompete } from "../../host/node/variant-choice.ts";
import { MODEL_NAMES, modelEntry } from "../../models/index.ts";
import { formatPercent } from "../../support/format.ts";
import type { Precision } from "../../train/precision.ts";
import { endPhases, sayPhase } from "../bench-options.ts";
import { adapterOption, jsonOption, precisionOption, realNumber, wholeNumber } from "../options.ts";

interface TuneFlags {
  readonly model: string;
  readonly batchSize: number;
  readonly ghostSize?: number;
  readonly precision: Precision;
  readonly minutes: number;
  readonly adapter?: string;
  readonly json?: boolean;
}

export function tuneCommand(): Command {
  const images = (flags: string, text: string) => new Option(flags, text).argParser(wholeNumber(1));
  return new Command("tune")
    .description(
      "find the fastest kernel tiles on this adapter for the shapes of a network's step, and with --precision mixed whether matrix kernels or wide ones run each shape; train and bench use them from then on",
    )
    .addOption(
      new Option(
        "--model <name>",
        `network: ${MODEL_NAMES.join(", ")}, or FILE.ts, as for train`,
      ).makeOptionMandatory(),
    )
    .addOption(images("--batch-size <images>", "images in a batch").makeOptionMandatory())
    .addOption(images("--ghost-size <images>", "images in a ghost batch (default: the batch)"))
    .addOption(precisionOption())
    .addOption(new Option("--minutes <minutes>", "total time").argParser(realNumber(0.01)).default(5))
    .addOption(adapterOption())
    .addOption(jsonOption())
    .action(run);
}

async function run({
  model: wanted,
  batchSize: batch,
  precision,
  minutes,
  adapter,
  json,
  ...flags
}: TuneFlags): Promise<void> {
  const model = await loadModel(wanted);
  modelEntry(model);
  const ghostSize = flags.ghostSize ?? batch;
  const gpu = await openGpu({ adapter, relaunch: true });
  if (!json) console.log(adapterLine(gpu.adapter));
  const matrices = precision === "mixed" && matricesCompete(gpu);
  const options = { model, batch, ghostSize, precision, minutes, matrices };
  const report = await tuneStep(gpu, options, (phase, share) =>
    sayPhase(`${formatPercent(Math.min(1, share), 0)} of ${minutes} min  ${phase}`),
  );
  endPhases();
  const date = new Date().toISOString().slice(0, 10);
  const path = await keepTuning(gpu.adapter, { model, batch, ghostSize, precision, date }, report.choices);
  if (json)
    console.log(
      jsonText(gpu.adapter, { model, batch, ghostSize, precision, minutes, ...report, file: path }),
    );
  else {
    if (precision === "mixed" && !matrices) console.log(whyNoMatrices(gpu));
    console.log(`${describe(report)}\nsaved in ${path}`);
  }
}

function whyNoMatrices(gpu: Gpu): string {
  const { name, matrices } = gpu.adapter;
  if (matrices.length === 0) return `matrix kernels were not tried: ${name} has no subgroup matrices`;
  return `matrix kernels were not tried: the ${gpu.variant} kernels are used here; GHOSTBATCH_VARIANT=matrix lets them compete with the wide ones`;
}

/** Matrix kernels beside wide ones. */
function variantLines(variants: TuneReport["variants"]): string[] {
  if (variants.length === 0) return [];
  const head = ["shape on matrices or wide kernels", "n", "matrix ms", "wide ms", "ratio", "choice"];
  const rows = variants.map(({ key, launches, ms, ratio, winner }) => [
    ...[key, `${launches}`, milliseconds(ms.matrix.median), milliseconds(ms.wide.median)],
    ...[ratio.toFixed(3), winner],
  ]);
  const matrix = variants.filter(({ winner }) => winner === "matrix").length;
  const count = `matrix kernels for ${matrix} of ${variants.length} shapes, wide ones for the others`;
  return [table(head, rows), count];
}

function describe({ questions, variants, left, step }: TuneReport): string {
  const head = ["kernel and shape", "n", "of step", "tried", "default ms", "best ms", "ratio", "choice"];
  const rows = questions.map(({ key, ways, winner, share, dispatches }) => {
    const [standard, ...others] = ways;
    const best = winner === null ? standard! : others.find(({ way }) => way === winner)!;
    return [
      ...[key, `${dispatches}`, formatPercent(share, 1), `${ways.length}`],
      ...[milliseconds(standard!.ms!.median), milliseconds(best.ms!.median), best.ratio.toFixed(3)],
      winner === null ? "default" : wayText(winner, standard!.way),
    ];
  });
  const wrong = questions.flatMap(({ key, ways }) =>
    ways.flatMap(({ way, problem }) =>
      problem === null ? [] : [`refused: ${key} ${JSON.stringify(way)}: ${problem}`],
    ),
  );
  const lines = [table(head, rows), ...wrong, ...variantLines(variants)];
  if (left > 0) lines.push(`${left} more were not measured; allow more time with --minutes`);
  if (step === null) lines.push("the defaults stay: nothing is more than 3 % faster");
  else {
    const { ratio, low, high, n } = step;
    lines.push(
      `time of the step with the choices, relative to the defaults: ${ratio.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)}, n ${n})`,
    );
    if (ratio >= 1) lines.push("the defaults stay: the step is not faster with the choices");
  }
  return lines.join("\n");
}

/** The values of a choice that differ from the default. */
function wayText(way: Way, standard: Way): string {
  const differing = Object.entries(way).filter(([name, value]) => standard[name] !== value);
  return differing.map(([name, value]) => `${name}=${value}`).join(" ");
}
