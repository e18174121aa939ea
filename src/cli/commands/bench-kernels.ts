import { Command, Option } from "commander";
import { benchKernels, type KernelRow } from "../../bench/kernels.ts";
import { digits, jsonText, table } from "../../bench/output.ts";
import { opOf, PASSES, passesOf } from "../../bench/passes/index.ts";
import { summaryText } from "../../bench/sample.ts";
import { definedKernels } from "../../gpu/kernel.ts";
import { roofline } from "../../gpu/roofline.ts";
import { formatPercent } from "../../support/format.ts";
import type { Precision } from "../../train/precision.ts";
import { type BenchFlags, openForBench, saveTable, withBenchOptions } from "../bench-options.ts";
import { precisionOption, wholeNumber } from "../options.ts";

interface KernelsFlags extends BenchFlags {
  readonly awkward: number;
  readonly shapes: number;
  readonly budget: number;
  readonly precision: Precision;
}

export function benchKernelsCommand(): Command {
  const command = new Command("kernels")
    .description(
      "check and time every kernel and variant on the networks' shapes and on awkward ones; `used` marks what runs on this adapter dispatch",
    )
    .argument("[ops...]", "ops or passes, such as conv2d or matmul/tiled (default: all)")
    .addOption(count("--awkward <cases>", "number of awkward cases of each pass", 4))
    .addOption(count("--shapes <cases>", "number of the networks' shapes of each pass", 8))
    .addOption(count("--budget <ms>", "time for measuring one kernel on one case", 1000))
    .addOption(precisionOption());
  return withBenchOptions(command, 15).action(run);
}

function count(flags: string, text: string, value: number): Option {
  return new Option(flags, text).argParser(wholeNumber(0)).default(value);
}

async function run(ops: string[], flags: KernelsFlags): Promise<void> {
  const passes = passesOf(ops);
  const gpu = await openForBench(flags);
  const limits = await roofline(gpu);
  const say = flags.json ? () => {} : console.log;
  say(
    `roofline: ${digits(limits.bytesPerSecond / 1e9)} GB/s by a copy kernel, ${digits(limits.flopsPerSecond / 1e9)} GFLOP/s by multiply-adds; the best of 9\n`,
  );
  const rows: KernelRow[] = [];
  const wrong: object[] = [];
  const options = {
    n: flags.n,
    budgetMs: flags.budget,
    awkwardCases: flags.awkward,
    paperCases: flags.shapes,
    precision: flags.precision,
  };
  for await (const result of benchKernels(gpu, passes, options)) {
    if (result.status === "wrong") {
      const { pass, variant, case: label, findings } = result;
      wrong.push({ pass, variant, case: label, findings });
      say(
        `WRONG, not timed: ${pass}, ${variant}, ${label}: ${findings.map(({ message }) => message).join("; ")}`,
      );
    } else {
      rows.push(...result.rows);
      say(kernelTable(result.rows));
      say("");
    }
  }
  const unknown = ops.length > 0 ? [] : notBenchmarked();
  if (unknown.length > 0)
    say(`not timed, because src/bench/passes has no pass for it: ${unknown.join(", ")}`);
  if (flags.json)
    console.log(jsonText(gpu.adapter, { roofline: limits, rows, wrong, notBenchmarked: unknown }));
  await saveTable(
    gpu,
    flags,
    `bench kernels${ops.length > 0 ? ` ${ops.join(" ")}` : ""}${flags.precision === "f32" ? "" : ` --precision ${flags.precision}`}`,
    kernelTable(rows),
  );
  if (wrong.length > 0) process.exitCode = 1;
}

/** Kernels of ops without a pass, except those that measure the roofline. */
function notBenchmarked(): string[] {
  const ops = new Set([...PASSES.map(({ name }) => opOf(name)), "bench"]);
  return definedKernels().flatMap(({ file }) => (ops.has(opOf(file)) ? [] : [file.replace(/\.wgsl$/, "")]));
}

/** Also used by `bench kernel`. */
export function kernelTable(
  rows: readonly (Omit<KernelRow, "variant" | "pass" | "used"> & Partial<KernelRow>)[],
): string {
  const head = ["kernel", "case", "median (quartiles)", "n", "GFLOP/s", "GB/s", "of roofline"];
  const cells = rows.map(
    ({ kernel, variant, used, case: label, ms, gflops, gigabytesPerSecond, roofline: share }) => [
      variant === undefined || variant === "both" ? kernel : `${kernel} (${variant}${used ? ", used" : ""})`,
      label,
      summaryText(ms),
      `${ms.n}`,
      digits(gflops),
      digits(gigabytesPerSecond),
      formatPercent(share, 0),
    ],
  );
  return table(head, cells, 2);
}
