/** A user's kernel on the cases of its op: beside float64 on small ones, beside the built-in kernel on those that are timed. */
import type { Command } from "../gpu/command.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Roofline } from "../gpu/roofline.ts";
import type { ShaderFile } from "../gpu/shader.ts";
import type { BufferView } from "../gpu/storage.ts";
import { runnableVariants, type Variant } from "../gpu/variant.ts";
import { captureCommands } from "./capture.ts";
import { type Finding, findingsBeside, findingsOf, runCommands, unwrittenIn } from "./check.ts";
import { rowOf, selectCases } from "./kernels.ts";
import type { Pass, PassCase, PreparedPass } from "./pass.ts";
import { probe } from "./probes.ts";
import type { Summary } from "./sample.ts";
import { substitute } from "./substitute.ts";
import { type TimingOptions, timeCommand } from "./timing.ts";

/** What a user's kernel stands for. */
export interface Target {
  /** The built-in kernel's file. */
  readonly kernel: string;
  readonly variant: Variant;
  readonly passes: readonly Pass[];
}

export interface Bench {
  readonly gpu: Gpu;
  readonly shader: ShaderFile;
  readonly entryPoint: string;
  readonly target: Target;
  /** Is told what is being done now, before it is. */
  readonly onPhase: (phase: string) => void;
}

export interface Problem {
  /** "missing binding", "does not compile", "unwritten elements", "never ends", … */
  readonly kind: string;
  readonly message: string;
}

export interface UserKernelRow {
  /** The user's file, or the built-in kernel with its variant. */
  readonly kernel: string;
  readonly case: string;
  readonly ms: Summary;
  readonly gflops: number;
  readonly gigabytesPerSecond: number;
  readonly roofline: number;
}

/** Small cases that are looked at for reads and writes out of bounds. */
const PROBED = 3;
const PROBED_BYTES = 2 ** 20;

interface UserCase {
  readonly prepared: PreparedPass;
  /** The pass with the user's kernel in it. */
  readonly commands: Command[];
  readonly builtIn: readonly Command[];
}

/** Prepares a case anew; null where the built-in kernel is not dispatched in it. */
async function prepareCase(bench: Bench, one: PassCase): Promise<UserCase | null> {
  const { gpu, shader, entryPoint, target } = bench;
  const prepared = await one.prepare(gpu);
  const runsTarget = (commands: readonly Command[]) =>
    commands.some(({ kernel }) => kernel.file === target.kernel);
  let builtIn = captureCommands(gpu, target.variant, () => prepared.launch());
  // A shape for which there is a kernel of its own: the general one can do it too.
  if (!runsTarget(builtIn))
    builtIn = captureCommands(gpu, target.variant, () => prepared.launch(), { specialized: false });
  if (!runsTarget(builtIn)) return null;
  const mostGroups = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  const commands = builtIn.map((command) =>
    command.kernel.file === target.kernel ? substitute(command, { shader, entryPoint, mostGroups }) : command,
  );
  return { prepared, commands, builtIn };
}

export interface CheckedCases {
  readonly casesChecked: number;
  readonly casesWrong: number;
  /** Cases that are worth a closer look. */
  readonly probed: readonly PassCase[];
  /** The user's dispatches in all of the small cases. */
  readonly dispatches: readonly Command[];
}

/** All small cases beside float64. */
export async function checkCases(bench: Bench, problems: Problem[]): Promise<CheckedCases> {
  const { gpu, shader, target, onPhase } = bench;
  let casesChecked = 0;
  let casesWrong = 0;
  const dispatches: Command[] = [];
  const probed: PassCase[] = [];
  for (const pass of target.passes) {
    for (const one of pass.cases.filter(({ paper }) => !paper)) {
      onPhase(`checking ${pass.name} ${one.label}`);
      await gpu.lifetime(async () => {
        const run = await prepareCase(bench, one);
        if (!run) return;
        const findings = await findingsOfRun(bench, run, (results) =>
          findingsOf(run.prepared.outputs, results),
        );
        casesChecked++;
        if (findings.length > 0) casesWrong++;
        dispatches.push(...run.commands.filter(({ kernel }) => kernel.file === shader.path));
        if (one.bytes <= PROBED_BYTES) probed.push(one);
        for (const { kind, message } of findings)
          problems.push({ kind, message: `${message} (${one.label})` });
      });
    }
  }
  probed.sort((a, b) => b.bytes - a.bytes);
  return { casesChecked, casesWrong, probed: probed.slice(0, PROBED), dispatches };
}

type Results = Awaited<ReturnType<typeof runCommands>>;

/** Runs a case; what is wrong in memory that the kernel hands on to others is told before what they make of it. */
async function findingsOfRun(
  bench: Bench,
  { prepared, commands }: UserCase,
  compare: (results: Results) => Finding[],
): Promise<Finding[]> {
  const { gpu, shader } = bench;
  const behind = commands.findLastIndex(({ kernel }) => kernel.file === shader.path) + 1;
  await runCommands(gpu, commands.slice(0, behind), []);
  const handedOn = await unwrittenForOthers(bench, prepared, commands);
  if (handedOn.length > 0) return handedOn;
  return compare(await runCommands(gpu, commands.slice(behind), prepared.outputs));
}

/** Partial results that the kernel should have written and has not. */
async function unwrittenForOthers(
  { gpu, shader }: Bench,
  { outputs }: PreparedPass,
  commands: readonly Command[],
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const results = new Set(outputs.map(({ tensor }) => tensor.storage));
  for (const [index, { kernel, launch }] of commands.entries()) {
    if (kernel.file !== shader.path) continue;
    for (const { name, kind } of shader.bindings) {
      const view = launch.buffers[name];
      if (kind !== "read_write" || !view || results.has(view.storage)) continue;
      const reader = commands
        .slice(index + 1)
        .find(({ launch: later }) =>
          Object.values(later.buffers).some(({ storage }) => storage === view.storage),
        );
      const shape = shapeOf(view);
      const tensor = { ...view, shape } as PreparedPass["outputs"][number]["tensor"];
      const words = new Uint32Array(await gpu.read(view));
      for (const { kind: what, message } of unwrittenIn([{ name, tensor }], [words])) {
        const of = `here ${name} is [${shape.join(", ")}], partial results`;
        const by = reader ? ` that ${reader.kernel.file.replace(".wgsl", "")} adds up` : "";
        const hint = 'every slice must be written (docs/WRITING-A-KERNEL.md, "Slices")';
        findings.push({ kind: what, message: `${message}; ${of}${by}: ${hint}` });
      }
    }
  }
  return findings;
}

/** Tensors have a shape; a plain range of memory has its numbers. */
function shapeOf(view: BufferView & { readonly shape?: readonly number[] }): readonly number[] {
  return view.shape ?? [view.byteLength / 4];
}

/** Reads and writes beyond ends, and results that differ from run to run. */
export function probeCase(bench: Bench, one: PassCase): Promise<Problem[]> {
  const { gpu, shader, onPhase } = bench;
  onPhase(`looking beyond the ends of the buffers of ${one.label}`);
  return probe(gpu, shader.path, {
    label: one.label,
    shader,
    prepare: async () => (await prepareCase(bench, one))!,
  });
}

/**
 * Checks the kernel on each shape beside the built-in kernel, then times it there beside the built-in variants. Ends at the
 * first shape that is wrong.
 */
export async function checkAndTime(
  bench: Bench,
  { paperCases, ...timing }: TimingOptions & { readonly paperCases: number },
  { limits, problems }: { limits: Roofline; problems: Problem[] },
): Promise<UserKernelRow[]> {
  const { gpu, target } = bench;
  const rows: UserKernelRow[] = [];
  for (const pass of target.passes) {
    for (const one of selectCases(gpu, pass, { awkwardCases: 0, paperCases }).paper) {
      const findings = await findingsBesideBuiltIn(bench, one);
      for (const { kind, message } of findings)
        problems.push({ kind, message: `${message} (${one.label}, beside ${target.kernel})` });
      if (findings.length > 0) return [];
      rows.push(...(await gpu.lifetime(() => timeCase(bench, one, { timing, limits }))));
    }
  }
  return rows;
}

async function findingsBesideBuiltIn(bench: Bench, one: PassCase): Promise<Finding[]> {
  const { gpu, onPhase, shader } = bench;
  onPhase(`checking ${shader.path} on ${one.label}`);
  const trusted = await gpu.lifetime(async () => {
    const run = await prepareCase(bench, one);
    return run && runCommands(gpu, run.builtIn, run.prepared.outputs);
  });
  if (!trusted) return [];
  return gpu.lifetime(async () => {
    const run = (await prepareCase(bench, one))!;
    return findingsOfRun(bench, run, (results) => findingsBeside(run.prepared.outputs, results, trusted));
  });
}

async function timeCase(
  bench: Bench,
  one: PassCase,
  { timing, limits }: { timing: TimingOptions; limits: Roofline },
): Promise<UserKernelRow[]> {
  const { gpu, shader, onPhase } = bench;
  const run = await prepareCase(bench, one);
  if (!run) return [];
  const at = run.commands.findIndex(({ kernel }) => kernel.file === shader.path);
  const builtIns = runnableVariants(gpu).map(
    (variant) => captureCommands(gpu, variant, () => run.prepared.launch())[at],
  );
  const rows: UserKernelRow[] = [];
  const files = new Set<string>();
  for (const command of [run.commands[at]!, ...builtIns]) {
    if (!command || files.has(command.kernel.file)) continue;
    files.add(command.kernel.file);
    onPhase(`timing ${command.kernel.file} on ${one.label}`);
    rows.push({ ...rowOf(command, await timeCommand(gpu, command, timing), limits), case: one.label });
  }
  return rows;
}
