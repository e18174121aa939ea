import { Argument, Command, Option } from "commander";
import { compileSubject, type StaticSubject } from "../../bench/static/compile.ts";
import { FAMILIES, type Family } from "../../bench/static/families.ts";
import { type Message, type StaticReport, staticReport } from "../../bench/static/static.ts";
import { describeStatic } from "../../bench/static/table.ts";
import { targetOf } from "../../bench/user-kernel.ts";
import { installCompilers, installedCompilers } from "../../host/node/gpu-compilers.ts";
import { openGpu } from "../../host/node/open-gpu.ts";
import { MODEL_NAMES, modelEntry } from "../../models/index.ts";
import { DeviceError, GhostbatchError, messageOf, UsageError } from "../../support/errors.ts";
import type { Precision } from "../../train/precision.ts";
import { endPhases, sayPhase } from "../bench-options.ts";
import { jsonOption, listOf, precisionOption, wholeNumber } from "../options.ts";

interface StaticFlags {
  readonly family?: readonly string[];
  readonly model?: string;
  readonly batchSize?: number;
  readonly ghostSize?: number;
  readonly precision: Precision;
  readonly as?: string;
  readonly shapes: number;
  readonly json?: boolean;
  readonly compile?: string;
}

const WITHOUT_COMPILER = "NVIDIA's part needs a C compiler: install gcc or clang, then run this again";
/** One of each vendor. */
const DEFAULT_FAMILIES = ["navi31", "0x172"];

export function benchStaticCommand(): Command {
  const images = (flags: string, text: string) => new Option(flags, text).argParser(wholeNumber(1));
  const names = FAMILIES.map(({ name }) => name);
  return new Command("static")
    .description(
      "compile the kernels of a network's step, or your own kernel, for AMD and NVIDIA GPUs, without having one, and print bounds (docs/WRITING-A-KERNEL.md)",
    )
    .addArgument(new Argument("[file]", "a .wgsl file of your own, with --as"))
    .addOption(
      new Option(
        "--family <names>",
        `GPUs, separated by commas: ${families()} (default: navi31,0x172)`,
      ).argParser(listOf(names)),
    )
    .addOption(new Option("--model <name>", `network: ${MODEL_NAMES.join(", ")}`))
    .addOption(images("--batch-size <images>", "images in a batch"))
    .addOption(images("--ghost-size <images>", "images in a ghost batch (default: the batch)"))
    .addOption(precisionOption())
    .addOption(new Option("--as <kernel>", "the built-in kernel that FILE replaces, such as conv2d/forward"))
    .addOption(
      new Option("--shapes <cases>", "number of the networks' shapes to compile FILE for")
        .argParser(wholeNumber(1))
        .default(4),
    )
    .addOption(jsonOption())
    .addOption(new Option("--compile <subject>", "the process on the driver without a GPU").hideHelp())
    .action(run);
}

function families(): string {
  return FAMILIES.map(({ name, chip }) => `${name} (${chip.replace(",", ":")})`).join(", ");
}

async function run(file: string | undefined, flags: StaticFlags): Promise<void> {
  if (flags.compile !== undefined) return serve(JSON.parse(flags.compile));
  const subject = subjectOf(file, flags);
  await installCompilers((line) => console.error(line));
  const reports: StaticReport[] = [];
  for (const family of chosenFamilies(flags.family)) {
    reports.push(await staticReport(family, subject, sayPhase));
    endPhases();
    if (!flags.json) console.log(describeStatic(reports.at(-1)!));
  }
  if (flags.json) console.log(JSON.stringify({ subject, families: reports }, null, 2));
}

/** @throws UsageError for options that do not determine what to compile */
function subjectOf(
  file: string | undefined,
  { model, batchSize, ghostSize, precision, as, shapes }: StaticFlags,
): StaticSubject {
  if (file !== undefined) {
    if (as === undefined)
      throw new UsageError(`${file}: name the built-in kernel that it replaces with --as`);
    if (model !== undefined) throw new UsageError("expected a FILE or --model, got both");
    targetOf(as);
    return { kind: "kernel", file, as, cases: shapes };
  }
  if (model === undefined || batchSize === undefined) {
    throw new UsageError("expected --model with --batch-size, or a FILE with --as");
  }
  modelEntry(model);
  return { kind: "step", model, batch: batchSize, ghostSize: ghostSize ?? batchSize, precision };
}

/** @throws DeviceError for one whose compiler is not installed */
function chosenFamilies(names: readonly string[] | undefined): Family[] {
  const installed = installedCompilers();
  const there = FAMILIES.filter(({ vendor }) => installed.includes(vendor));
  const missing = DEFAULT_FAMILIES.filter((name) => !there.some((family) => family.name === name));
  if (names === undefined) {
    for (const name of missing) console.error(`${name} is left out: ${WITHOUT_COMPILER}`);
    return there.filter(({ name }) => DEFAULT_FAMILIES.includes(name));
  }
  return names.map((name) => {
    const found = there.find((family) => family.name === name);
    if (found) return found;
    throw new DeviceError(`--family ${name}: ${WITHOUT_COMPILER}`);
  });
}

/** Runs on the driver without a GPU, and sends its findings to the parent process. */
async function serve(subject: StaticSubject): Promise<void> {
  const send = (message: Message) => new Promise<void>((done) => process.send?.(message, () => done()));
  try {
    const gpu = await openGpu();
    const compiled = await compileSubject(gpu, subject, (phase) => void send({ kind: "phase", phase }));
    await send({ kind: "compiled", compiled });
  } catch (error) {
    if (!(error instanceof GhostbatchError)) throw error;
    await send({ kind: "error", message: messageOf(error) });
  }
}
