import { resolve } from "node:path";
import { Command, Option } from "commander";
import { jsonText, table } from "../../bench/output.ts";
import {
  benchUserKernel,
  targetOf,
  type UserKernelOptions,
  type UserKernelReport,
} from "../../bench/user-kernel.ts";
import { readKernel } from "../../bench/user-kernel-file.ts";
import {
  type Message,
  type ProcessOptions,
  UserKernelProcess,
  userKernelInProcess,
} from "../../bench/user-kernel-process.ts";
import { specCandidates, specLines, tuneUserKernel, valuesText } from "../../bench/user-kernel-tune.ts";
import { whenSaved } from "../../bench/when-saved.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { openGpu } from "../../host/node/open-gpu.ts";
import { shaderFiles } from "../../host/node/shader-files.ts";
import { GhostbatchError, messageOf } from "../../support/errors.ts";
import {
  type BenchFlags,
  endPhases,
  openForBench,
  saveTable,
  sayPhase,
  withBenchOptions,
} from "../bench-options.ts";
import { wholeNumber } from "../options.ts";
import { kernelTable } from "./bench-kernels.ts";

interface KernelFlags extends BenchFlags {
  readonly as: string;
  readonly entry?: string;
  readonly shapes: number;
  readonly budget: number;
  readonly timeLimit: number;
  readonly watch?: boolean;
  readonly tune?: boolean;
  readonly inThisProcess?: boolean;
}

export function benchKernelCommand(): Command {
  const whole = (flags: string, text: string, value: number) =>
    new Option(flags, text).argParser(wholeNumber(0)).default(value);
  const command = new Command("kernel")
    .description(
      "check your own kernel in place of a built-in one, then time both (docs/WRITING-A-KERNEL.md)",
    )
    .argument("<file>", "the .wgsl file")
    .addOption(
      new Option(
        "--as <kernel>",
        "the built-in kernel that it replaces, such as conv2d/forward",
      ).makeOptionMandatory(),
    )
    .addOption(new Option("--entry <name>", "the @compute function to run, if the file has several"))
    .addOption(whole("--shapes <cases>", "number of the networks' shapes to time", 4))
    .addOption(whole("--budget <ms>", "time for measuring one kernel on one case", 1000))
    .addOption(whole("--time-limit <seconds>", "time limit of one phase, compilation included", 60))
    .addOption(
      new Option(
        "--watch",
        `check and time again whenever the file is saved (--shapes ${QUICK.paperCases} and --budget ${QUICK.budgetMs}, unless given)`,
      ),
    )
    .addOption(
      new Option(
        "--tune",
        "try all values that the file lists after its constants, as in `const TM: u32 = 4u; // @spec 4, 8`",
      ).conflicts("watch"),
    )
    .addOption(new Option("--in-this-process", "a kernel that never ends takes it down").hideHelp());
  return withBenchOptions(command, 15).action(run);
}

/** With --watch, an answer within seconds matters more than many samples. */
const QUICK = { paperCases: 1, budgetMs: 100 };

async function run(file: string, flags: KernelFlags, command: Command): Promise<void> {
  const { as, entry, n, budget: budgetMs, shapes: paperCases, timeLimit: limitSeconds, adapter } = flags;
  const options = { file, as, entry, n, budgetMs, paperCases };
  if (flags.inThisProcess) return serve(options, adapter);
  // Report a wrong name or an unreadable file before opening anything.
  targetOf(as);
  const code = readKernel(file);
  if (flags.tune) specCandidates(file, code);
  const gpu = await openForBench(flags);
  const inProcess = { limitSeconds, adapter, onPhase: sayPhase };
  if (flags.watch) {
    const isDefault = (name: string) => command.getOptionValueSource(name) === "default";
    const quick = {
      paperCases: isDefault("shapes") ? QUICK.paperCases : paperCases,
      budgetMs: isDefault("budget") ? QUICK.budgetMs : budgetMs,
    };
    return watch(new UserKernelProcess({ ...options, ...quick }, inProcess), file, (report) =>
      console.log(flags.json ? JSON.stringify({ adapter: gpu.adapter.name, ...report }) : describe(report)),
    );
  }
  if (flags.tune) return tune(gpu, options, code, inProcess, flags);
  const report = await userKernelInProcess(options, inProcess);
  endPhases();
  if (flags.json) console.log(jsonText(gpu.adapter, report));
  else console.log(describe(report));
  if (report.rows.length > 0)
    await saveTable(gpu, flags, `bench kernel ${file} --as ${as}`, kernelTable(report.rows));
  if (!report.passed) process.exitCode = 1;
}

async function tune(
  gpu: Gpu,
  options: UserKernelOptions,
  code: string,
  inProcess: ProcessOptions,
  flags: KernelFlags,
): Promise<void> {
  const candidates = await tuneUserKernel(options, code, inProcess);
  endPhases();
  const right = candidates.filter(({ ratio }) => ratio !== null).sort((a, b) => a.ratio! - b.ratio!);
  const [best] = right;
  if (!best) process.exitCode = 1;
  const lines = best ? specLines(code, best.values) : [];
  if (flags.json)
    return console.log(jsonText(gpu.adapter, { candidates, best: best?.values ?? null, lines }));
  const rows = [...right, ...candidates.filter(({ ratio }) => ratio === null)].map(
    ({ values, ratio, report }) => [
      valuesText(values),
      ratio === null ? "" : ratio.toFixed(3),
      ratio === null
        ? `${report.problems[0]?.kind ?? "not timed"}: ${report.problems[0]?.message ?? ""}`
        : "right",
    ],
  );
  console.log(`${table(["values", "time / fastest built-in", "checked"], rows)}\n`);
  if (best) console.log(`best: ${valuesText(best.values)}\n\n${lines.join("\n")}`);
  else console.log("no values give a correct kernel");
}

/** Checks the file now and whenever it is saved, until the process ends. */
function watch(
  bench: UserKernelProcess,
  file: string,
  show: (report: UserKernelReport) => void,
): Promise<void> {
  return whenSaved(file, async () => {
    const start = performance.now();
    try {
      const report = await bench.check();
      endPhases();
      show(report);
    } catch (error) {
      if (!(error instanceof GhostbatchError)) throw error;
      endPhases();
      console.error(messageOf(error));
    }
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.error(`checked in ${seconds} s; waiting for ${file} to be saved (Ctrl-C to stop)\n`);
  });
}

/** Runs in the child process, and sends its findings to the parent. */
async function serve(
  options: Parameters<typeof benchUserKernel>[1],
  adapter: string | undefined,
): Promise<void> {
  const send = (message: Message) =>
    new Promise<void>((done) => {
      if (process.send) process.send(message, () => done());
      else done(console.log(JSON.stringify(message)));
    });
  const check = async (gpu: Gpu) => {
    try {
      const report = await benchUserKernel(gpu, options, {
        code: readKernel(options.file),
        shaders: shaderFiles,
        onPhase: (phase) => void send({ kind: "phase", phase }),
      });
      await send({ kind: "report", report });
    } catch (error) {
      await sendError(error);
    }
  };
  const sendError = async (error: unknown) => {
    if (!(error instanceof GhostbatchError)) throw error;
    await send({ kind: "error", message: messageOf(error), exitCode: error.exitCode });
  };
  try {
    const gpu = await openGpu({ adapter, relaunch: true });
    await check(gpu);
    if (!process.connected) return;
    // Waits for further checks until the parent ends this process.
    process.on("message", () => void check(gpu));
    await new Promise((done) => process.once("disconnect", done));
  } catch (error) {
    await sendError(error);
  }
}

function describe({
  file,
  as,
  passed,
  problems,
  casesChecked,
  casesWrong,
  rows,
  notes,
}: UserKernelReport): string {
  const lines = [`${resolve(file)} as ${as}`];
  if (casesChecked > 0)
    lines.push(`${casesChecked - casesWrong} of ${casesChecked} cases correct, compared with float64`);
  for (const { kind, message } of problems) lines.push(`${kind.toUpperCase()}: ${message}`);
  if (passed) lines.push("no reads or writes out of bounds, the same bits in every run");
  lines.push(...notes.map((note) => `note: ${note}`));
  if (rows.length > 0) lines.push("", kernelTable(rows));
  return lines.join("\n");
}
