/** Checks a user's kernel on the small cases of its op against float64. */
import type { Command } from "../gpu/command.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { ShaderFile } from "../gpu/shader.ts";
import type { BufferView } from "../gpu/storage.ts";
import type { Variant } from "../gpu/variant.ts";
import { captureCommands } from "./capture.ts";
import { type Finding, findingsOf, runCommands, unwrittenIn } from "./check.ts";
import type { Pass, PassCase, PreparedPass } from "./pass.ts";
import { probe } from "./probes.ts";
import { type SmallDispatch, smallDispatch } from "./races.ts";
import { substitute } from "./substitute.ts";

/** What a user's kernel replaces. */
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
  /** Receives what is about to be done. */
  readonly onPhase: (phase: string) => void;
}

export interface Problem {
  /** "missing binding", "does not compile", "unwritten elements", "never ends", … */
  readonly kind: string;
  readonly message: string;
}

/** Small cases that are checked for reads and writes out of bounds. */
const PROBED = 3;
const PROBED_BYTES = 2 ** 20;

export interface UserCase {
  readonly prepared: PreparedPass;
  /** The pass with the user's kernel. */
  readonly commands: Command[];
  readonly builtIn: readonly Command[];
}

/** Prepares a case again; null if it does not dispatch the built-in kernel. */
export async function prepareCase(bench: Bench, one: PassCase): Promise<UserCase | null> {
  const { gpu, shader, entryPoint, target } = bench;
  const prepared = await one.prepare(gpu);
  const runsTarget = (commands: readonly Command[]) =>
    commands.some(({ kernel }) => kernel.file === target.kernel);
  let builtIn = captureCommands(gpu, target.variant, () => prepared.launch());
  // The shape has a specialized kernel, but the general one can do it too.
  if (!runsTarget(builtIn))
    builtIn = captureCommands(gpu, target.variant, () => prepared.launch(), { specialized: false });
  if (!runsTarget(builtIn)) return null;
  const mostGroups = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  const commands = builtIn.map((command) =>
    command.kernel.file === target.kernel ? substitute(command, { shader, entryPoint, mostGroups }) : command,
  );
  return { prepared, commands, builtIn };
}

interface ProbedCase {
  readonly one: PassCase;
  /** Whether its results are correct. */
  readonly right: boolean;
}

export interface CheckedCases {
  readonly casesChecked: number;
  readonly casesWrong: number;
  /** Cases that are worth a closer look. */
  readonly probed: readonly ProbedCase[];
  /** The user's dispatches that are small enough to search for races. */
  readonly dispatches: readonly SmallDispatch[];
}

/** Checks all small cases against float64. */
export async function checkCases(bench: Bench, problems: Problem[]): Promise<CheckedCases> {
  const { gpu, target, onPhase } = bench;
  let casesChecked = 0;
  let casesWrong = 0;
  const dispatches: SmallDispatch[] = [];
  const probed: ProbedCase[] = [];
  for (const pass of target.passes) {
    for (const one of pass.cases.filter(({ paper }) => !paper)) {
      onPhase(`checking ${pass.name} ${one.label}`);
      await gpu.lifetime(async () => {
        const run = await prepareCase(bench, one);
        if (!run) return;
        const findings = await findingsOfRun(bench, run, {
          compare: (results) => findingsOf(run.prepared.outputs, results),
          before: async (command) => {
            const small = await smallDispatch(gpu, command);
            if (small) dispatches.push(small);
          },
        });
        casesChecked++;
        if (findings.length > 0) casesWrong++;
        if (one.bytes <= PROBED_BYTES) probed.push({ one, right: findings.length === 0 });
        for (const { kind, message } of findings)
          problems.push({ kind, message: `${message} (${one.label})` });
      });
    }
  }
  probed.sort((a, b) => b.one.bytes - a.one.bytes);
  return { casesChecked, casesWrong, probed: probed.slice(0, PROBED), dispatches };
}

type Results = Awaited<ReturnType<typeof runCommands>>;

interface RunHooks {
  readonly compare: (results: Results) => Finding[];
  /** Sees a dispatch of the kernel before it runs. */
  readonly before?: (command: Command) => Promise<void>;
}

/** Runs a case. Errors in memory that the kernel passes to other kernels are reported before their consequences. */
export async function findingsOfRun(
  bench: Bench,
  { prepared, commands }: UserCase,
  { compare, before }: RunHooks,
): Promise<Finding[]> {
  const { gpu, shader } = bench;
  const behind = commands.findLastIndex(({ kernel }) => kernel.file === shader.path) + 1;
  await gpu.pipelines.compile(commands); // in parallel
  for (const command of commands.slice(0, behind)) {
    if (before && command.kernel.file === shader.path) await before(command);
    await runCommands(gpu, [command], []);
  }
  const handedOn = await unwrittenForOthers(bench, prepared, commands);
  if (handedOn.length > 0) return handedOn;
  return compare(await runCommands(gpu, commands.slice(behind), prepared.outputs));
}

/** Findings about partial results that the kernel has not written. */
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

/** Shape of a tensor; element count of a plain range of memory. */
function shapeOf(view: BufferView & { readonly shape?: readonly number[] }): readonly number[] {
  return view.shape ?? [view.byteLength / 4];
}

/** Checks for reads and writes out of bounds, and results that differ from run to run. */
export function probeCase(bench: Bench, { one, right }: ProbedCase): Promise<Problem[]> {
  const { gpu, shader, onPhase } = bench;
  onPhase(`looking beyond the ends of the buffers of ${one.label}`);
  return probe(gpu, shader.path, {
    label: one.label,
    shader,
    right,
    prepare: async () => (await prepareCase(bench, one))!,
  });
}
