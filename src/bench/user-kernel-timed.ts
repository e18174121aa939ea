/** A user's kernel on the timed shapes: compares it with the built-in kernel, repeats it with other previous contents, then times it. */
import type { Roofline } from "../gpu/roofline.ts";
import { runnableVariants } from "../gpu/variant.ts";
import type { NumberArray } from "../tensor/tensor.ts";
import { captureCommands } from "./capture.ts";
import { findingsBeside, runCommands, wordsOf } from "./check.ts";
import { rowOf, selectCases } from "./kernels.ts";
import type { PassCase } from "./pass.ts";
import { differences, leaveOldNumbers } from "./probes.ts";
import type { Summary } from "./sample.ts";
import { type TimingOptions, timeCommand } from "./timing.ts";
import { type Bench, findingsOfRun, type Problem, prepareCase, type UserCase } from "./user-kernel-cases.ts";

export interface UserKernelRow {
  /** The user's file, or the built-in kernel with its variant. */
  readonly kernel: string;
  readonly case: string;
  readonly ms: Summary;
  readonly gflops: number;
  readonly gigabytesPerSecond: number;
  readonly roofline: number;
}

/**
 * Checks the kernel against the built-in kernel on each shape, then times it beside the built-in variants. Stops at the
 * first incorrect shape.
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
      const { findings, results } = await runBesideBuiltIn(bench, pass.name, one);
      for (const { kind, message } of findings)
        problems.push({ kind, message: `${message} (${one.label}, beside ${target.kernel})` });
      if (findings.length > 0) return [];
      if (results === null) continue;
      const timed = await gpu.lifetime(async () => {
        const run = (await prepareCase(bench, one))!;
        const problem = await differsInSecondRun(bench, one, { run, results });
        if (problem) problems.push(problem);
        return problem ? null : timeCase(bench, one, { run, timing, limits });
      });
      if (timed === null) return [];
      rows.push(...timed);
    }
  }
  return rows;
}

/** Results of built-in kernels by device, which are the same for every check of a watched file. */
const kept = new WeakMap<GPUDevice, { bytes: number; readonly results: Map<string, NumberArray[]> }>();
const MOST_KEPT_BYTES = 2 ** 28;

/** Null if the built-in kernel is not dispatched. */
async function builtInResults(bench: Bench, pass: string, one: PassCase): Promise<NumberArray[] | null> {
  const { gpu, target } = bench;
  const store = kept.get(gpu.device) ?? { bytes: 0, results: new Map<string, NumberArray[]>() };
  kept.set(gpu.device, store);
  const key = `${target.kernel} ${pass} ${one.label}`;
  const known = store.results.get(key);
  if (known) return known;
  const results = await gpu.lifetime(async () => {
    const run = await prepareCase(bench, one);
    return run && runCommands(gpu, run.builtIn, run.prepared.outputs);
  });
  const bytes = results?.reduce((sum, { byteLength }) => sum + byteLength, 0) ?? 0;
  if (results && store.bytes + bytes <= MOST_KEPT_BYTES) {
    store.results.set(key, results);
    store.bytes += bytes;
  }
  return results;
}

async function runBesideBuiltIn(bench: Bench, pass: string, one: PassCase) {
  const { gpu, onPhase, shader } = bench;
  onPhase(`checking ${shader.path} on ${one.label}`);
  const trusted = await builtInResults(bench, pass, one);
  if (!trusted) return { findings: [], results: null };
  return gpu.lifetime(async () => {
    const run = (await prepareCase(bench, one))!;
    let results: readonly NumberArray[] = [];
    const findings = await findingsOfRun(bench, run, {
      compare: (own) => {
        results = own;
        return findingsBeside(run.prepared.outputs, own, trusted);
      },
    });
    return { findings, results };
  });
}

/** A correct result may be luck, or depend on previous contents of the outputs. */
async function differsInSecondRun(
  { gpu, shader, target }: Bench,
  one: PassCase,
  { run: { commands, prepared }, results }: { run: UserCase; results: readonly NumberArray[] },
): Promise<Problem | null> {
  await leaveOldNumbers(gpu, shader, commands);
  const again = await runCommands(gpu, commands, prepared.outputs);
  for (const [i, { name }] of prepared.outputs.entries()) {
    const count = differences(wordsOf(again[i]!), wordsOf(results[i]!));
    if (count === 0) continue;
    const message = `${count} of ${again[i]!.length} elements of ${name} changed in a second run of the same input, with other numbers in the outputs before it (${one.label}, in the place of ${target.kernel})`;
    return { kind: "differs from run to run", message };
  }
  return null;
}

async function timeCase(
  { gpu, shader, onPhase }: Bench,
  one: PassCase,
  { run, timing, limits }: { run: UserCase; timing: TimingOptions; limits: Roofline },
): Promise<UserKernelRow[]> {
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
