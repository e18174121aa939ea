/** Options and output that the verbs of `bench` share. */
import { fileURLToPath } from "node:url";
import { type Command, Option } from "commander";
import { adapterLine } from "../bench/output.ts";
import { provenance, saveSection } from "../bench/results.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { openGpu } from "../host/node/open-gpu.ts";
import { environmentOf } from "../run/environment.ts";
import { adapterOption, jsonOption, tuningOption, typedCommand, wholeNumber } from "./options.ts";

const RESULTS = fileURLToPath(new URL("../../bench/results", import.meta.url));

export interface BenchFlags {
  readonly adapter?: string;
  readonly tuning?: string;
  readonly json?: boolean;
  readonly n: number;
  readonly save?: boolean | string;
}

/** Adds --n, --adapter, --json and --save. */
export function withBenchOptions(command: Command, n: number): Command {
  return command
    .addOption(
      new Option("--n <count>", "number of measurements of each result").argParser(wholeNumber(3)).default(n),
    )
    .addOption(adapterOption())
    .addOption(tuningOption())
    .addOption(jsonOption())
    .addOption(new Option("--save [folder]", "save the table in FOLDER/ADAPTER.md (default: bench/results)"));
}

/** Opens the adapter, and prints its name first unless the output is JSON. */
export async function openForBench({ adapter, tuning, json }: BenchFlags): Promise<Gpu> {
  const gpu = await openGpu({ adapter, tuning, relaunch: true });
  if (!json) console.log(adapterLine(gpu.adapter));
  return gpu;
}

/** Shows progress, only on a terminal and never among the results. */
export function sayPhase(phase: string): void {
  if (process.stderr.isTTY)
    process.stderr.write(`\r\x1b[K${phase.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}

/** Clears the progress line. */
export function endPhases(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
}

/** With --save: stores a table under its title. */
export async function saveTable(
  gpu: Gpu,
  { save, n }: BenchFlags,
  title: string,
  text: string,
): Promise<void> {
  if (!save) return;
  const source = provenance(gpu.adapter, environmentOf(gpu, typedCommand()), n);
  const folder = save === true ? RESULTS : save;
  const path = await saveSection(folder, gpu.adapter, title, `${source}\n\n${text}`);
  console.error(`saved in ${path}`);
}
