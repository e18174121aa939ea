/**
 * `bench kernel FILE --as OP/PASS`: a kernel of the user's own in the place of a built-in one. It is compiled, checked on
 * all cases of its op against float64, looked at for what a right answer does not show, and timed beside the built-in
 * variants. This runs in a process of its own (user-kernel-process.ts), since such a kernel may never end.
 */
import { readFileSync } from "node:fs";
import type { Command } from "../gpu/command.ts";
import { Gpu } from "../gpu/gpu.ts";
import { definedKernels } from "../gpu/kernel.ts";
import { roofline } from "../gpu/roofline.ts";
import { parseShader, type ShaderFile } from "../gpu/shader.ts";
import { runnableVariants, type Variant } from "../gpu/variant.ts";
import { shaderFiles } from "../host/node/shader-files.ts";
import { DataError, messageOf, ShaderError, UsageError } from "../support/errors.ts";
import { captureCommands } from "./capture.ts";
import { findingsOf, runCommands } from "./check.ts";
import { rowOf, selectCases } from "./kernels.ts";
import type { Pass, PassCase } from "./pass.ts";
import { opOf, PASSES } from "./passes/index.ts";
import { probe } from "./probes.ts";
import { staticRaces } from "./races.ts";
import type { Summary } from "./sample.ts";
import { interfaceProblems, substitute } from "./substitute.ts";
import { timeCommand } from "./timing.ts";

export interface UserKernelOptions {
  /** The .wgsl file. */
  readonly file: string;
  /** Name of the pass or the kernel that it stands for. */
  readonly as: string;
  readonly n: number;
  readonly budgetMs: number;
  /** Shapes of the networks that are timed at most. */
  readonly paperCases: number;
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

export interface UserKernelReport {
  readonly file: string;
  readonly as: string;
  /** Whether it is right and without a problem. */
  readonly passed: boolean;
  readonly problems: readonly Problem[];
  readonly casesChecked: number;
  readonly casesWrong: number;
  /** Only of a kernel without problems. */
  readonly rows: readonly UserKernelRow[];
  /** What was not looked at, and why. */
  readonly notes: readonly string[];
}

/** Problems of one kind that are listed; more are counted. */
const LISTED = 4;
/** Small cases that are looked at for reads and writes out of bounds and for races. */
const PROBED = 3;
const PROBED_BYTES = 2 ** 20;

/**
 * @param onPhase is told what is being done now, before it is
 * @throws DataError for a file that cannot be read, UsageError for an unknown `as`
 */
export async function benchUserKernel(
  opened: Gpu,
  options: UserKernelOptions,
  onPhase: (phase: string) => void,
): Promise<UserKernelReport> {
  const { file, as } = options;
  const target = targetOf(as);
  const code = readKernel(file);
  const source = (path: string) => (path === file ? code : shaderFiles(path));
  const gpu = new Gpu(opened.device, opened.adapter, source);
  const problems: Problem[] = [];
  const notes: string[] = [];
  const report = (rest: Partial<UserKernelReport> = {}): UserKernelReport => {
    const passed = problems.length === 0;
    return { file, as, passed, problems, casesChecked: 0, casesWrong: 0, rows: [], notes, ...rest };
  };
  try {
    onPhase("reading");
    const shader = parseShader(file, source);
    problems.push(...interfaceProblems(shader, parseShader(target.kernel, shaderFiles)));
    if (problems.length > 0) return report();

    const bench: Bench = { gpu, shader, target, options, onPhase };
    const checked = await checkCases(bench, problems);
    if (checked.casesChecked === 0) throw new UsageError(`--as ${as}: no case here runs ${target.kernel}`);
    for (const one of checked.probed) problems.push(...(await probeCase(bench, one)));
    onPhase("looking for races");
    const races = await staticRaces(shader, checked.example);
    problems.push(...races.findings.map((message) => ({ kind: "race", message })));
    notes.push(...races.notes);
    const rows = problems.length === 0 ? await timeCases(bench) : [];
    if (problems.length > 0) notes.push("not timed: only a kernel without problems is");
    return report({ ...checked.counts, problems: shortened(problems), rows });
  } catch (error) {
    if (!(error instanceof ShaderError)) throw error;
    problems.push({ kind: "does not compile", message: messageOf(error) });
    return report();
  }
}

interface Target {
  /** The built-in kernel's file. */
  readonly kernel: string;
  readonly variant: Variant;
  readonly passes: readonly Pass[];
}

/** @throws UsageError for a name that is neither a pass nor a kernel */
export function targetOf(as: string): Target {
  const name = as.replace(/\.wgsl$/, "");
  const base = name.replace(/-narrow$/, "");
  const variant: Variant = base === name ? "wide" : "narrow";
  const own = PASSES.filter((pass) => pass.name === base);
  const ofOp = PASSES.filter((pass) => opOf(pass.name) === opOf(base));
  const files = definedKernels().map(({ file }) => file);
  // An input gradient is the transposed forward kernel: it has a pass, but no file of its own.
  const kernel = files.includes(`${name}.wgsl`)
    ? `${name}.wgsl`
    : base === "conv2d/grad-input"
      ? name.replace("grad-input", "forward").concat(".wgsl")
      : null;
  const passes = own.length > 0 ? own : ofOp.length > 0 ? ofOp : PASSES;
  if (kernel === null) {
    const known = [...new Set(files.filter((path) => PASSES.some((pass) => opOf(pass.name) === opOf(path))))];
    const list = known.map((path) => path.replace(/\.wgsl$/, "")).sort();
    throw new UsageError(`--as ${as}: there is no such kernel; there are ${list.join(", ")}`);
  }
  return { kernel, variant, passes };
}

function readKernel(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new DataError(`${path}: cannot be read: ${messageOf(cause)}`, { cause });
  }
}

interface Bench {
  readonly gpu: Gpu;
  readonly shader: ShaderFile;
  readonly target: Target;
  readonly options: UserKernelOptions;
  readonly onPhase: (phase: string) => void;
}

/** The pass on a case with the user's kernel in it; null where the built-in is not dispatched. */
async function prepareCase({ gpu, shader, target }: Bench, one: PassCase) {
  const prepared = await one.prepare(gpu);
  const runsTarget = (commands: readonly Command[]) =>
    commands.some(({ kernel }) => kernel.file === target.kernel);
  let commands = captureCommands(gpu, target.variant, () => prepared.launch());
  // A shape for which there is a kernel of its own: the general one can do it too.
  if (!runsTarget(commands))
    commands = captureCommands(gpu, target.variant, () => prepared.launch(), { specialized: false });
  if (!runsTarget(commands)) return null;
  const replaced = commands.map((command) =>
    command.kernel.file === target.kernel ? substitute(command, shader) : command,
  );
  return { prepared, commands: replaced, builtIn: commands };
}

async function checkCases(bench: Bench, problems: Problem[]) {
  const { gpu, target, onPhase } = bench;
  let casesChecked = 0;
  let casesWrong = 0;
  let example: NonNullable<Awaited<ReturnType<typeof prepareCase>>>["commands"][number] | null = null;
  const probed: PassCase[] = [];
  for (const pass of target.passes) {
    for (const one of pass.cases.filter(({ paper }) => !paper)) {
      onPhase(`checking ${pass.name} ${one.label}`);
      await gpu.lifetime(async () => {
        const run = await prepareCase(bench, one);
        if (!run) return;
        const results = await runCommands(gpu, run.commands, run.prepared.outputs);
        const findings = findingsOf(run.prepared.outputs, results);
        casesChecked++;
        if (findings.length > 0) casesWrong++;
        example ??= run.commands.find(({ kernel }) => kernel.file === bench.shader.path) ?? null;
        if (one.bytes <= PROBED_BYTES) probed.push(one);
        for (const { kind, message } of findings)
          problems.push({ kind, message: `${message} (${one.label})` });
      });
    }
  }
  probed.sort((a, b) => b.bytes - a.bytes);
  return { casesChecked, probed: probed.slice(0, PROBED), example, counts: { casesChecked, casesWrong } };
}

async function probeCase(bench: Bench, one: PassCase): Promise<Problem[]> {
  const { gpu, shader, onPhase } = bench;
  onPhase(`looking beyond the ends of the buffers of ${one.label}`);
  return probe(gpu, shader.path, {
    label: one.label,
    shader,
    prepare: async () => (await prepareCase(bench, one))!,
  });
}

async function timeCases(bench: Bench): Promise<UserKernelRow[]> {
  const { gpu, target, options, shader, onPhase } = bench;
  const limits = await roofline(gpu);
  const rows: UserKernelRow[] = [];
  for (const pass of target.passes) {
    for (const one of selectCases(gpu, pass, { awkwardCases: 0, paperCases: options.paperCases }).paper) {
      await gpu.lifetime(async () => {
        const run = await prepareCase(bench, one);
        if (!run) return;
        const builtIns = runnableVariants(gpu).map(
          (variant) =>
            captureCommands(gpu, variant, () => run.prepared.launch())[
              run.commands.findIndex(({ kernel }) => kernel.file === shader.path)
            ]!,
        );
        const files = new Set<string>();
        const own = run.commands.find(({ kernel }) => kernel.file === shader.path)!;
        for (const command of [own, ...builtIns]) {
          if (files.has(command.kernel.file)) continue;
          files.add(command.kernel.file);
          onPhase(`timing ${command.kernel.file} on ${one.label}`);
          const ms = await timeCommand(gpu, command, options);
          rows.push({ ...rowOf(command, ms, limits), case: one.label });
        }
      });
    }
  }
  return rows;
}

/** A few of each kind, and how many more there are. */
function shortened(problems: readonly Problem[]): Problem[] {
  const kinds = [...new Set(problems.map(({ kind }) => kind))];
  return kinds.flatMap((kind) => {
    const all = problems.filter((problem) => problem.kind === kind);
    const more = all.length - LISTED;
    const rest = more > 0 ? [{ kind, message: `and ${more} more of this kind` }] : [];
    return [...all.slice(0, LISTED), ...rest];
  });
}
