/**
 * The part of `bench static` that runs on a driver without a GPU: lists the dispatches of a training step, or of the cases of a user's
 * kernel, and compiles each pipeline between two marks on standard error, between which the driver writes its listing.
 */
import { readFileSync, writeSync } from "node:fs";
import type { Command } from "../../gpu/command.ts";
import { Gpu } from "../../gpu/gpu.ts";
import type { Cost } from "../../gpu/kernel.ts";
import { pipelineKey } from "../../gpu/pipelines.ts";
import { listCommands } from "../../gpu/recording.ts";
import { parseShader, type ShaderFile } from "../../gpu/shader.ts";
import { shaderFiles } from "../../host/node/shader-files.ts";
import { DataError, messageOf, ShaderError, UsageError } from "../../support/errors.ts";
import { evaluate } from "../expression.ts";
import { selectCases } from "../kernels.ts";
import { prepareStep, type StepOptions } from "../step.ts";
import { chooseEntryPoint, interfaceProblems, substitute } from "../substitute.ts";
import { targetOf } from "../user-kernel.ts";

/** What is compiled: a step of a network, or a user's kernel file in place of a built-in one. */
export type StaticSubject =
  | ({ readonly kind: "step" } & Omit<StepOptions, "n">)
  | { readonly kind: "kernel"; readonly file: string; readonly as: string; readonly cases: number };

/** One pipeline, and the dispatches that run on it. */
export interface CompiledPipeline {
  readonly kernel: string;
  /** Spec constants and overrides. */
  readonly values: Readonly<Record<string, number | string | boolean>>;
  /** For a user's kernel file: the shape it is compiled for. */
  readonly case: string | null;
  readonly dispatches: number;
  /** Of all these dispatches together. */
  readonly cost: Cost;
  /** Multiply-adds of a thread (with matrices: of a subgroup) per step, from the file's `@products` line. */
  readonly products: number | null;
}

export interface CompiledSubject {
  /** The driver's own name. */
  readonly compiler: string;
  readonly dispatches: number;
  readonly cost: Cost;
  readonly pipelines: readonly CompiledPipeline[];
}

export const BEGIN = "@@ghostbatch pipeline";
export const END = "@@ghostbatch end";

/**
 * @param say receives what is being done
 * @throws UsageError, DataError and ShaderError for what cannot be compiled
 */
export async function compileSubject(
  opened: Gpu,
  subject: StaticSubject,
  say: (phase: string) => void,
): Promise<CompiledSubject> {
  const own = subject.kind === "kernel" ? readFile(subject.file) : null;
  const source = (path: string) =>
    own !== null && subject.kind === "kernel" && path === subject.file ? own : shaderFiles(path);
  const gpu = new Gpu(opened.device, opened.adapter, source);
  const found =
    subject.kind === "step" ? stepCommands(gpu, subject) : await kernelCommands(gpu, subject, source);
  const pipelines = new Map<string, { command: Command; report: CompiledPipeline }>();
  for (const { command, label } of found) {
    const key = `${pipelineKey(command.kernel, command.launch)} ${label ?? ""}`;
    const { flops, bytes } = command.launch.cost;
    const { dispatches, cost } = pipelines.get(key)?.report ?? {
      dispatches: 0,
      cost: { flops: 0, bytes: 0 },
    };
    const report = {
      kernel: command.kernel.file,
      values: { ...command.launch.spec, ...command.launch.overrides },
      case: label,
      dispatches: dispatches + 1,
      cost: { flops: cost.flops + flops, bytes: cost.bytes + bytes },
      products: productsOf(gpu.pipelines.shader(command.kernel), command),
    };
    pipelines.set(key, { command, report });
  }
  for (const [index, { command }] of [...pipelines.values()].entries()) {
    say(`compiling ${index + 1} of ${pipelines.size}: ${command.kernel.file}`);
    // The comment makes each pipeline different, since Dawn does not compile again what is in its caches.
    const alone = new Gpu(opened.device, opened.adapter, (path) => `${source(path)}\n// pipeline ${index}\n`);
    writeSync(2, `\n${BEGIN} ${index}\n`);
    await alone.pipelines.compile([command]);
    writeSync(2, `\n${END}\n`);
  }
  const reports = [...pipelines.values()].map(({ report }) => report);
  const total = (of: (one: CompiledPipeline) => number) => reports.reduce((sum, one) => sum + of(one), 0);
  return {
    compiler: gpu.adapter.name,
    dispatches: total(({ dispatches }) => dispatches),
    cost: { flops: total(({ cost }) => cost.flops), bytes: total(({ cost }) => cost.bytes) },
    pipelines: reports,
  };
}

interface Found {
  readonly command: Command;
  readonly label: string | null;
}

function stepCommands(gpu: Gpu, options: Omit<StepOptions, "n">): Found[] {
  const { result } = gpu.planOnly(() => listCommands(gpu, prepareStep(gpu, options).body));
  return result.map((command) => ({ command, label: null }));
}

/** The user's kernel and the built-in one, on the networks' shapes. */
async function kernelCommands(
  gpu: Gpu,
  { file, as, cases }: Extract<StaticSubject, { kind: "kernel" }>,
  source: (path: string) => string,
): Promise<Found[]> {
  const target = targetOf(as);
  if (target.variant === "narrow")
    throw new UsageError(`--as ${as}: narrow kernels are for CPUs, these are GPUs`);
  const shader = parseShader(file, source);
  const [problem] = interfaceProblems(shader, parseShader(target.kernel, shaderFiles));
  if (problem) throw new ShaderError(problem.message);
  const entryPoint = chooseEntryPoint(shader);
  const mostGroups = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  const user = { shader, entryPoint, mostGroups };
  const found: Found[] = [];
  for (const pass of target.passes) {
    for (const one of selectCases(gpu, pass, { awkwardCases: 0, paperCases: cases }).paper) {
      await gpu.lifetime(async () => {
        const prepared = await one.prepare(gpu);
        const commands = listCommands(gpu, () => prepared.launch());
        for (const command of commands.filter(({ kernel }) => kernel.file === target.kernel)) {
          found.push({ command: substitute(command, user), label: one.label }, { command, label: one.label });
        }
      });
    }
  }
  if (found.length === 0) throw new UsageError(`--as ${as}: no case here runs ${target.kernel}`);
  return found;
}

const PRODUCTS = /^\/\/\s*@products\s+(.*)$/m;
const CONSTANT = /^const\s+(\w+)\s*(?::\s*\w+\s*)?=\s*(\d+)u?\s*;/gm;

/** @throws ShaderError for a line that does not parse */
function productsOf({ path, code }: ShaderFile, { launch }: Command): number | null {
  const found = PRODUCTS.exec(code);
  if (!found) return null;
  const own = [...code.matchAll(CONSTANT)].map(([, name, value]) => [name!, Number(value)] as const);
  const given = Object.entries({ ...launch.params, ...launch.spec, ...launch.overrides });
  const names = new Map([...own, ...given.map(([name, value]) => [name, Number(value)] as const)]);
  const line = code.slice(0, found.index).split("\n").length;
  const fail = (what: string): never => {
    throw new ShaderError(`${path}:${line}: @products: ${what}`);
  };
  const [products] = evaluate(found[1]!, names, fail);
  return products!;
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new DataError(`${path}: cannot be read: ${messageOf(cause)}`, { cause });
  }
}
