/** `bench kernels`: every kernel and variant on the networks' shapes and on awkward ones, checked before it is timed. */
import type { Command } from "../gpu/command.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Roofline, roofline, shareOfRoofline } from "../gpu/roofline.ts";
import { runnableVariants, type Variant } from "../gpu/variant.ts";
import { messageOf, ShaderError } from "../support/errors.ts";
import type { FloatType } from "../tensor/tensor.ts";
import { activationType, type Precision, requirePrecision } from "../train/precision.ts";
import { captureCommands, signatureOf } from "./capture.ts";
import { type Finding, findingsOf, runCommands } from "./check.ts";
import type { Pass, PassCase } from "./pass.ts";
import type { Summary } from "./sample.ts";
import { type TimingOptions, timeCommand } from "./timing.ts";

export interface KernelRow {
  /** The kernel's file, without its extension. */
  readonly kernel: string;
  /** "both" if the variants make the same dispatch. */
  readonly variant: Variant | "both";
  readonly pass: string;
  readonly case: string;
  readonly ms: Summary;
  readonly gflops: number;
  readonly gigabytesPerSecond: number;
  /** Whether runs on this adapter dispatch it for this shape. */
  readonly used: boolean;
  /** Fraction of what the adapter's roofline allows, 0 to 1 (above 1 if caches hold data that a copy kernel reads from memory). */
  readonly roofline: number;
}

export type KernelResult =
  | { readonly status: "timed"; readonly rows: readonly KernelRow[] }
  | {
      readonly status: "wrong";
      readonly pass: string;
      readonly variant: Variant;
      readonly case: string;
      readonly findings: readonly Finding[];
    };

export interface KernelBenchOptions extends TimingOptions {
  /** The most awkward cases of each pass to check and time, spread over all of them. */
  readonly awkwardCases: number;
  /** The most shapes of the networks to time. */
  readonly paperCases: number;
  /** With "mixed", only passes that read or write activations, stored as f16; "f32" by default. */
  readonly precision?: Precision;
}

/** Operations that a float64 reference in plain loops does in about a second. */
const AFFORDABLE_FLOPS = 60e6;
/** Largest timed shape; on a software adapter, about a second. */
const MOST = { software: { flops: 3e9, bytes: 2 ** 28 }, hardware: { flops: 1e13, bytes: 2 ** 32 } };

/** Checks each pass in each variant, then times its dispatches one by one. An incorrect variant is not timed. */
export async function* benchKernels(
  gpu: Gpu,
  passes: readonly Pass[],
  options: KernelBenchOptions,
): AsyncGenerator<KernelResult> {
  const limits = await roofline(gpu);
  const { precision = "f32" } = options;
  requirePrecision(gpu, precision);
  const type = activationType(precision);
  for (const pass of passes.filter(({ types }) => types.includes(type))) {
    for (const variant of runnableVariants(gpu)) {
      const { awkward, paper } = selectCases(gpu, pass, options);
      let wrong = false;
      const rows: KernelRow[] = [];
      for (const one of [...awkward, ...paper]) {
        const result = await gpu.lifetime(() =>
          benchCase(gpu, { pass, variant, one, type, limits, options }),
        );
        if (result.findings.length > 0) {
          wrong = true;
          yield { status: "wrong", pass: pass.name, variant, case: one.label, findings: result.findings };
          if (result.stop) break;
        }
        rows.push(...result.rows);
      }
      // The rows of an incorrect variant are meaningless.
      if (!wrong && rows.length > 0) yield { status: "timed", rows };
    }
  }
}

/** The cases of a pass that this adapter can run, at most as many as requested. */
export function selectCases(
  gpu: Gpu,
  pass: Pass,
  { awkwardCases, paperCases }: Pick<KernelBenchOptions, "awkwardCases" | "paperCases">,
): { awkward: PassCase[]; paper: PassCase[] } {
  const most = MOST[gpu.adapter.software ? "software" : "hardware"];
  const fits = ({ flops, bytes }: PassCase) => flops <= most.flops && bytes <= most.bytes;
  const awkward = pass.cases.filter(({ paper }) => !paper);
  const paper = pass.cases.filter((one) => one.paper && fits(one));
  return { awkward: spread(awkward, awkwardCases), paper: spread(paper, paperCases) };
}

/** `count` of the items, evenly spaced. */
function spread<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]!);
}

interface CaseRun {
  readonly pass: Pass;
  readonly variant: Variant;
  readonly one: PassCase;
  readonly type: FloatType;
  readonly limits: Roofline;
  readonly options: TimingOptions;
}

async function benchCase(gpu: Gpu, { pass, variant, one, type, limits, options }: CaseRun) {
  const prepared = await one.prepare(gpu, type);
  const capture = (of: Variant) => captureCommands(gpu, of, () => prepared.launch());
  const used = signatureOf(capture(gpu.variant));
  const { tuning } = gpu;
  gpu.tuning = tuning.ofTiles(); // every variant is timed, whichever was chosen
  const commands = capture(variant);
  const variants = runnableVariants(gpu);
  const own = signatureOf(commands);
  const same = variants.filter((other) => signatureOf(capture(other)) === own);
  gpu.tuning = tuning;
  const shared = variants.length > 1 && same.length === variants.length;
  // Skip what an earlier variant has dispatched too, e.g. f32 in the matrix variant.
  if (variant !== same[0]) return { findings: [], rows: [], stop: false };
  try {
    const results = await runCommands(gpu, commands, prepared.outputs);
    // Large shapes are covered by the small ones; their reference would take minutes.
    const findings = one.flops <= AFFORDABLE_FLOPS ? findingsOf(prepared.outputs, results) : [];
    if (findings.length > 0) return { findings, rows: [], stop: false };
  } catch (error) {
    if (!(error instanceof ShaderError)) throw error;
    return {
      findings: [{ kind: "does not compile" as const, message: messageOf(error) }],
      rows: [],
      stop: true,
    };
  }
  const rows: KernelRow[] = [];
  for (const command of commands) {
    const ms = await timeCommand(gpu, command, options);
    rows.push({
      ...rowOf(command, ms, limits),
      variant: shared ? "both" : variant,
      used: own === used,
      pass: pass.name,
      case: one.label,
    });
  }
  return { findings: [], rows, stop: false };
}

/** The rates of one dispatch. */
export function rowOf({ kernel, launch }: Command, ms: Summary, limits: Roofline) {
  const { flops, bytes } = launch.cost;
  return {
    kernel: kernel.file.replace(/\.wgsl$/, ""),
    ms,
    gflops: flops / ms.median / 1e6,
    gigabytesPerSecond: bytes / ms.median / 1e6,
    roofline: shareOfRoofline(launch.cost, ms.median, limits),
  };
}
