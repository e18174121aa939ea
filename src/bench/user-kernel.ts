/**
 * `bench kernel FILE --as OP/PASS`: a user's kernel in place of a built-in one. It is compiled, checked on
 * all cases of its op against float64, searched for faults that correct results do not reveal, checked again on the timed
 * shapes, and timed beside the built-in variants. This runs in a child process (user-kernel-process.ts), because a user's
 * kernel may never end.
 */
import { Gpu } from "../gpu/gpu.ts";
import { definedKernels } from "../gpu/kernel.ts";
import { roofline } from "../gpu/roofline.ts";
import { parseShader, type ShaderSource } from "../gpu/shader.ts";
import type { Variant } from "../gpu/variant.ts";
import { closest } from "../support/closest.ts";
import { DeviceError, messageOf, ShaderError, ShaderInterfaceError, UsageError } from "../support/errors.ts";
import { opOf, PASSES } from "./passes/index.ts";
import { lookForRaces } from "./races.ts";
import { chooseEntryPoint, interfaceProblems } from "./substitute.ts";
import { type Bench, checkCases, type Problem, probeCase, type Target } from "./user-kernel-cases.ts";
import { checkAndTime, type UserKernelRow } from "./user-kernel-timed.ts";

export interface UserKernelOptions {
  /** The .wgsl file, or the kernel's name in messages. */
  readonly file: string;
  /** Name of the pass or kernel that it replaces. */
  readonly as: string;
  /** The `@compute` function to run; may be omitted if the file has only one. */
  readonly entry?: string | undefined;
  readonly n: number;
  readonly budgetMs: number;
  /** The most shapes of the networks to time. */
  readonly paperCases: number;
}

export interface UserKernelReport {
  readonly file: string;
  readonly as: string;
  /** Whether it is correct and has no problems. */
  readonly passed: boolean;
  readonly problems: readonly Problem[];
  readonly casesChecked: number;
  readonly casesWrong: number;
  /** Only for a kernel without problems. */
  readonly rows: readonly UserKernelRow[];
  /** What was not checked, and why. */
  readonly notes: readonly string[];
}

export interface UserKernelContext {
  /** Text of the kernel. */
  readonly code: string;
  /** The built-in shaders. */
  readonly shaders: ShaderSource;
  /** Receives what is about to be done. */
  readonly onPhase: (phase: string) => void;
}

/** The most problems of one kind to list; more are counted. */
const LISTED = 4;

/** @throws UsageError for an unknown `as` or `entry` */
export async function benchUserKernel(
  opened: Gpu,
  options: UserKernelOptions,
  { code, shaders, onPhase }: UserKernelContext,
): Promise<UserKernelReport> {
  const { file, as } = options;
  const target = targetOf(as);
  onPhase("reading");
  const { own, source } = userSource(file, code, shaders);
  const gpu = new Gpu(opened.device, opened.adapter, source);
  const problems: Problem[] = [];
  const notes: string[] = [];
  const report = (rest: Partial<UserKernelReport> = {}): UserKernelReport => {
    const passed = problems.length === 0;
    const shown = { problems: shortened(problems), notes };
    return { file, as, passed, casesChecked: 0, casesWrong: 0, rows: [], ...rest, ...shown };
  };
  let counts = { casesChecked: 0, casesWrong: 0 };
  try {
    const shader = parseShader(own, source);
    const entryPoint = chooseEntryPoint(shader, options.entry);
    problems.push(...interfaceProblems(shader, parseShader(target.kernel, shaders)));
    if (problems.length > 0) return report();

    const bench: Bench = { gpu, shader, entryPoint, target, onPhase };
    const checked = await checkCases(bench, problems);
    counts = { casesChecked: checked.casesChecked, casesWrong: checked.casesWrong };
    if (counts.casesChecked === 0) throw new UsageError(`--as ${as}: no case here runs ${target.kernel}`);
    for (const one of checked.probed) problems.push(...(await probeCase(bench, one)));
    onPhase("looking for races");
    const races = await lookForRaces(shader, entryPoint, checked.dispatches);
    problems.push(...races.findings.map((message) => ({ kind: "race", message })));
    notes.push(...races.notes);
    const limits = await roofline(opened);
    const rows = problems.length === 0 ? await checkAndTime(bench, options, { limits, problems }) : [];
    if (problems.length > 0) notes.push("not timed: only a kernel without problems is");
    return report({ ...counts, rows });
  } catch (error) {
    problems.push(problemOf(file, error));
    return report(counts);
  }
}

/** The user's kernel as a shader source, and its path there, which is never that of a file under shaders/. */
function userSource(
  path: string,
  code: string,
  shaders: ShaderSource,
): { own: string; source: ShaderSource } {
  const own = isBuiltIn(path, shaders) ? `./${path}` : path;
  return { own, source: (wanted) => (wanted === own ? code : shaders(wanted)) };
}

/** Paths under shaders/ begin with a folder's name, unlike absolute paths and those starting with ./. */
function isBuiltIn(path: string, shaders: ShaderSource): boolean {
  if (!/^\w[\w-]*\//.test(path)) return false;
  try {
    shaders(path);
    return true;
  } catch (error) {
    if (error instanceof ShaderError) return false;
    throw error;
  }
}

/** A problem that a user's kernel caused in the device or the compiler. @throws any other error */
function problemOf(file: string, error: unknown): Problem {
  const message = messageOf(error);
  if (error instanceof ShaderInterfaceError) return { kind: "wrong interface", message };
  if (error instanceof ShaderError) return { kind: "does not compile", message };
  const [, bytes, binding, needed] =
    /bound with size (\d+) at group 0, binding (\d+) is too small.* at least (\d+) bytes/.exec(message) ?? [];
  if (needed !== undefined) {
    const what = `binding ${binding} is declared with a fixed size of ${needed} bytes, this case has ${bytes}`;
    return { kind: "wrong interface", message: `${file}: ${what}; omit the length of its array` };
  }
  if (error instanceof DeviceError) return { kind: "device error", message };
  throw error;
}

/** @throws UsageError for a name that is neither a pass nor a kernel */
export function targetOf(as: string): Target {
  const name = as.replace(/\.wgsl$/, "");
  const base = name.replace(/-narrow$/, "");
  const variant: Variant = base === name ? "wide" : "narrow";
  const own = PASSES.filter((pass) => pass.name === base);
  const ofOp = PASSES.filter((pass) => opOf(pass.name) === opOf(base));
  const files = definedKernels().map(({ file }) => file);
  // An input gradient is the transposed forward kernel: it has its own pass, but no file.
  const kernel = files.includes(`${name}.wgsl`)
    ? `${name}.wgsl`
    : base === "conv2d/grad-input"
      ? name.replace("grad-input", "forward").concat(".wgsl")
      : null;
  const passes = own.length > 0 ? own : ofOp.length > 0 ? ofOp : PASSES;
  if (kernel === null) throw new UsageError(`--as ${as}: there is no such kernel; ${otherKernels(as)}`);
  return { kernel, variant, passes };
}

/** Suggestions instead of an unknown kernel: those of the intended op, a similar name, or all. */
function otherKernels(as: string): string {
  const known = replaceableKernels();
  const ofOp = known.filter((name) => opOf(name) === opOf(as));
  if (ofOp.length > 0) return `${opOf(as)} has ${ofOp.join(", ")}`;
  const near = closest(as, known);
  return near === null ? `there are ${known.join(", ")}` : `did you mean ${near}?`;
}

/** Kernels that a user's own can replace, by their names for `as`. */
export function replaceableKernels(): string[] {
  const files = new Set(definedKernels().map(({ file }) => file));
  const known = [...files].filter((path) => PASSES.some((pass) => opOf(pass.name) === opOf(path)));
  return known.map((path) => path.replace(/\.wgsl$/, "")).sort();
}

/** A few problems of each kind, and how many more there are. */
function shortened(problems: readonly Problem[]): Problem[] {
  const kinds = [...new Set(problems.map(({ kind }) => kind))];
  return kinds.flatMap((kind) => {
    const all = problems.filter((problem) => problem.kind === kind);
    const more = all.length - LISTED;
    const rest = more > 0 ? [{ kind, message: `and ${more} more of this kind` }] : [];
    return [...all.slice(0, LISTED), ...rest];
  });
}
