import { Command, Option } from "commander";
import { digits, jsonText, table } from "../../bench/output.ts";
import { summaryText } from "../../bench/sample.ts";
import { benchStep, chromeTrace, type StepReport } from "../../bench/step.ts";
import { loadModel } from "../../host/node/model-file.ts";
import { MODEL_NAMES, modelEntry, modelLabel } from "../../models/index.ts";
import { writeFileAtomically } from "../../storage/atomic-file.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  formatQuantity,
} from "../../support/format.ts";
import type { Precision } from "../../train/precision.ts";
import { type BenchFlags, openForBench, saveTable, withBenchOptions } from "../bench-options.ts";
import { precisionOption, wholeNumber } from "../options.ts";

interface StepFlags extends BenchFlags {
  readonly model: string;
  readonly batchSize: number;
  readonly ghostSize?: number;
  readonly precision: Precision;
  readonly trace?: string;
}

export function benchStepCommand(): Command {
  const images = (flags: string, text: string) => new Option(flags, text).argParser(wholeNumber(1));
  const command = new Command("step")
    .description("time one training step: GPU and CPU time, dispatches, bytes, rates, share of each op")
    .addOption(
      new Option(
        "--model <name>",
        `network: ${MODEL_NAMES.join(", ")}, or FILE.ts, as for train`,
      ).makeOptionMandatory(),
    )
    .addOption(images("--batch-size <images>", "images in a batch").makeOptionMandatory())
    .addOption(images("--ghost-size <images>", "images in a ghost batch (default: the batch)"))
    .addOption(precisionOption())
    .addOption(
      new Option("--trace <file>", "write the step as a Chrome trace, for chrome://tracing and Perfetto"),
    );
  return withBenchOptions(command, 15).action(run);
}

async function run(flags: StepFlags): Promise<void> {
  const { batchSize: batch, ghostSize = batch, precision, n, trace } = flags;
  const model = await loadModel(flags.model);
  modelEntry(model);
  const gpu = await openForBench(flags);
  const report = await benchStep(gpu, { model, batch, ghostSize, precision, n });
  const { timeline, ...rest } = report;
  if (trace !== undefined) {
    await writeFileAtomically(
      trace,
      chromeTrace(timeline, `${modelLabel(model)}, batch ${batch}, on ${gpu.adapter.name}`),
    );
    console.error(`wrote ${trace}`);
  }
  if (flags.json) console.log(jsonText(gpu.adapter, rest));
  else console.log(describe(report));
  await saveTable(
    gpu,
    flags,
    `bench step --model ${model} --batch-size ${batch} --ghost-size ${ghostSize}${precision === "f32" ? "" : ` --precision ${precision}`}`,
    describe(report),
  );
}

function describe(report: StepReport): string {
  const {
    model,
    batch,
    ghostSize,
    precision = "f32",
    parameters,
    dispatches,
    bytes,
    flops,
    memoryBytes,
    ops,
  } = report;
  const facts = [
    `${modelLabel(model)}, batch ${batch}, ghosts of ${ghostSize}, ${precision} precision, ${formatCount(parameters)} parameters`,
    `step      ${summaryText(report.stepMs)}, n ${report.stepMs.n}: ${formatQuantity(report.imagesPerSecond, "images/s")}, ${formatQuantity(1e12 * report.teraflopsPerSecond, "FLOP/s")}`,
    `latency   ${summaryText(report.latencyMs)} from submitting a step until it is known to be done`,
    `GPU       ${summaryText(report.gpuMs)} in ${dispatches} dispatches`,
    `CPU       ${summaryText(report.encodeMs)}: ${digits(report.encodeMicrosecondsPerDispatch)} µs per dispatch to encode and submit`,
    `work      ${formatQuantity(flops, "FLOP")}, ${formatBytes(bytes)} read and written, ${formatBytes(memoryBytes)} of memory`,
    `start     recorded in ${formatDuration(report.recordMs / 1000)}, first step ${formatDuration(report.firstStepMs / 1000)}`,
  ];
  const head = ["op", "dispatches", "ms", "share", "GFLOP/s", "GB/s", "of roofline"];
  const cells = ops.map(({ op, dispatches: count, ms, share, gflops, gigabytesPerSecond, roofline }) => {
    const rates = [gflops, gigabytesPerSecond].map(digits);
    return [op, `${count}`, digits(ms), formatPercent(share, 1), ...rates, formatPercent(roofline, 0)];
  });
  return `${facts.join("\n")}\n\n${table(head, cells)}`;
}
