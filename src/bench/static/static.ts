/**
 * `bench static`: what the compilers of real GPUs generate for the kernels, without such a GPU. Each compiler runs in its own process
 * (compile.ts), whose output is read here.
 */
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compilerProcess } from "../../host/node/gpu-compilers.ts";
import { DeviceError, GhostbatchError } from "../../support/errors.ts";
import { readAmdListing } from "./amd-listing.ts";
import type { Bound } from "./bound.ts";
import { BEGIN, type CompiledPipeline, type CompiledSubject, END, type StaticSubject } from "./compile.ts";
import type { Family } from "./families.ts";
import { type KernelReport, reportOf } from "./kernel-report.ts";
import { readNvidiaListing } from "./nvidia-listing.ts";

export type StaticKernel = CompiledPipeline & KernelReport;

export interface StaticReport extends Omit<CompiledSubject, "pipelines"> {
  readonly family: string;
  readonly chip: string;
  /** The bound of each kernel file that has multiply-adds in its hot loop, as a share of the peak. */
  readonly bounds: readonly {
    readonly kernel: string;
    readonly peak: Bound["peak"];
    readonly bound: number;
  }[];
  /** The same of all kernels with a `@products` line that compute in f32, each weighted by its operations; null without one. */
  readonly bound: number | null;
  /** The same for those that compute on matrices. */
  readonly matrixBound: number | null;
  readonly kernels: readonly StaticKernel[];
}

/** A message from the compiling process to the one that started it. */
export type Message =
  | { readonly kind: "phase"; readonly phase: string }
  | { readonly kind: "compiled"; readonly compiled: CompiledSubject }
  | { readonly kind: "error"; readonly message: string };

/** How many of the last lines of a process that ended unexpectedly are repeated. */
const LAST_LINES = 3;
const PROGRAM = fileURLToPath(new URL("../../../bin/ghostbatch.mjs", import.meta.url));

/**
 * @param onPhase receives what is being done
 * @throws GhostbatchError as `compileSubject`, DeviceError if the compiler ends or reports nothing
 */
export async function staticReport(
  family: Family,
  subject: StaticSubject,
  onPhase: (phase: string) => void,
): Promise<StaticReport> {
  const { compiled, said } = await compileElsewhere(family, subject, onPhase);
  const { pipelines, ...rest } = compiled;
  const kernels = pipelines.map((pipeline, index): StaticKernel => {
    const text = said.split(`\n${BEGIN} ${index}\n`)[1]?.split(`\n${END}\n`)[0] ?? "";
    const read = family.room ? readNvidiaListing(text, family.room) : readAmdListing(text);
    if (!read)
      throw new DeviceError(`${rest.compiler}: says nothing of ${pipeline.kernel} that is understood`);
    return { ...pipeline, ...reportOf(read, family.costs, pipeline.products) };
  });
  // For each case a user's kernel comes before the built-in one; in a step the most work comes first.
  if (subject.kind === "step")
    kernels.sort((a, b) => b.cost.flops - a.cost.flops || b.cost.bytes - a.cost.bytes);
  const files = [...new Set(kernels.map(({ kernel }) => kernel))];
  const bounds = files.flatMap((kernel) => {
    const bound = weighedBound(kernels.filter((one) => one.kernel === kernel && isArithmetic(one)));
    const peak = kernels.find((one) => one.kernel === kernel)!.hotLoop?.peak ?? "f32";
    return bound === null ? [] : [{ kernel, peak, bound }];
  });
  const boundOfAll = (peak: Bound["peak"]) =>
    weighedBound(kernels.filter(({ products, hotLoop }) => products !== null && hotLoop?.peak === peak));
  const [bound, matrixBound] = [boundOfAll("f32"), boundOfAll("matrix")];
  return { family: family.name, chip: family.chip, ...rest, bounds, bound, matrixBound, kernels };
}

/** Whether multiply-adds are a kernel's main work: it has a `@products` line, or is a user's kernel with a loop of them. */
export function isArithmetic({ products, case: shape, hotLoop }: StaticKernel): boolean {
  return hotLoop !== null && (products !== null || shape !== null);
}

/** The harmonic mean: shares of a rate, weighed by work. */
function weighedBound(kernels: readonly StaticKernel[]): number | null {
  let [work, time] = [0, 0];
  for (const { cost, step, hotLoop } of kernels) {
    const bound = step ?? hotLoop;
    if (bound === null) continue;
    work += cost.flops;
    time += cost.flops / bound.share;
  }
  return work === 0 ? null : work / time;
}

async function compileElsewhere(
  family: Family,
  subject: StaticSubject,
  onPhase: (phase: string) => void,
): Promise<{ compiled: CompiledSubject; said: string }> {
  const folder = mkdtempSync(join(tmpdir(), "ghostbatch-static-"));
  // A file, not a pipe: with node's pipes a driver's writes fail if the reader is slow.
  const log = join(folder, "log");
  const output = openSync(log, "w");
  try {
    const { program, args, env } = compilerProcess(family.vendor, family.name);
    const words = [...args, PROGRAM, "bench", "static", "--compile", JSON.stringify(subject)];
    const child = spawn(program, words, { env, stdio: ["ignore", "ignore", output, "ipc"] });
    const answer: { compiled?: CompiledSubject; refused?: string } = {};
    child.on("message", (message: Message) => {
      if (message.kind === "phase") onPhase(`${family.name}: ${message.phase}`);
      else if (message.kind === "compiled") answer.compiled = message.compiled;
      else answer.refused = message.message;
    });
    const end = await new Promise<string>((resolve, reject) => {
      child.on("error", reject).on("close", (code, signal) => resolve(signal ?? `code ${code}`));
    });
    const said = readFileSync(log, "latin1");
    if (answer.compiled) return { compiled: answer.compiled, said };
    if (answer.refused !== undefined) throw new GhostbatchError(answer.refused);
    const last = said.trim().split("\n").slice(-LAST_LINES).join(" | ");
    throw new DeviceError(`the compiler of ${family.name} ended with ${end}: ${last}`);
  } finally {
    closeSync(output);
    rmSync(folder, { recursive: true, force: true });
  }
}
