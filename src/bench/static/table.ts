/** A static report as text: kernels with a loop of multiply-adds in one table, the others, which are bound by memory, in another. */
import { formatPercent, formatQuantity } from "../../support/format.ts";
import { digits, table } from "../output.ts";
import { type Counts, needlessClamps } from "./instructions.ts";
import { isArithmetic, type StaticKernel, type StaticReport } from "./static.ts";

/** A table lists the pipelines that together do this share of the work; --json has all. */
const SHOWN = 0.95;

export function describeStatic(report: StaticReport): string {
  const { family, chip, compiler, dispatches, cost, bounds, bound, matrixBound, kernels } = report;
  const arithmetic = kernels.filter(isArithmetic);
  const others = kernels.filter((kernel) => !isArithmetic(kernel));
  const lines = [
    `COMPILED ONLY, nothing ran: bounds by instructions, not times; ${family} (${chip}) by ${compiler}`,
    `${dispatches} dispatches, ${formatQuantity(cost.flops, "FLOP")}, ${formatQuantity(cost.bytes, "B")} read and written`,
    "",
    ...arithmeticTable(arithmetic),
    ...othersTable(others),
    ...bounds.map(
      (one) => `${nameOf(one.kernel)}: at most ${formatPercent(one.bound, 0)} of ${PEAK[one.peak]}`,
    ),
  ];
  if (bound !== null)
    lines.push(`all multiply-adds, weighed by FLOP: at most ${formatPercent(bound, 0)} of ${PEAK.f32}`);
  if (matrixBound !== null)
    lines.push(
      `all on matrices, weighed by FLOP: at most ${formatPercent(matrixBound, 0)} of ${PEAK.matrix}`,
    );
  const scratch = kernels.filter(({ scratchBytes, spills }) => scratchBytes > 0 || spills > 0).length;
  const clamped = kernels.filter(({ hotLoop }) => hotLoop && needlessClamps(hotLoop.counts) > 0).length;
  lines.push(
    `of ${kernels.length} pipelines ${scratch} use scratch memory, ${clamped} clamp what the hot loop reads from workgroup memory`,
  );
  return `${lines.join("\n")}\n`;
}

function arithmeticTable(all: readonly StaticKernel[]): string[] {
  if (all.length === 0) return [];
  const head = ["kernel", "n", "GFLOP", "hot ≤", "step ≤", "limit", "peak", ...RESOURCES];
  head.push("hot loop: FMA", "matrix", "float", "integer", "clamps", "moves", "scalar", "shared", "memory");
  const shown = largest(all, ({ cost }) => cost.flops);
  const rows = shown.map((kernel) => {
    const { hotLoop, step, dispatches, cost } = kernel;
    const { kinds, clamps } = hotLoop!.counts;
    const of = (...names: (keyof Counts["kinds"])[]) =>
      `${names.reduce((sum, name) => sum + (kinds[name] ?? 0), 0)}`;
    return [
      ...[labelOf(kernel, all), `${dispatches}`, digits(cost.flops / 1e9)],
      ...[formatPercent(hotLoop!.share, 0), step ? formatPercent(step.share, 0) : "?"],
      ...[(step ?? hotLoop!).limit, hotLoop!.peak, ...resources(kernel)],
      ...[
        of("multiply-add"),
        of("matrix multiply-add"),
        of("float"),
        of("integer", "integer multiply"),
        `${clamps}`,
        of("move"),
      ],
      ...[of("scalar"), of("shared load", "shared store"), of("load", "store", "scratch")],
    ];
  });
  return [table(head, rows), ...left(all, shown), ""];
}

function othersTable(all: readonly StaticKernel[]): string[] {
  if (all.length === 0) return [];
  const shown = largest(all, ({ cost }) => cost.bytes);
  const head = ["kernel", "n", "GB", ...RESOURCES, "instructions", "loads and stores"];
  const rows = shown.map((kernel) => [
    ...[labelOf(kernel, all), `${kernel.dispatches}`, digits(kernel.cost.bytes / 1e9)],
    ...[...resources(kernel), `${kernel.instructions.total}`],
    Object.entries(kernel.instructions.widths)
      .filter(([width]) => !width.startsWith("shared"))
      .map(([width, count]) => `${count} ${width}`)
      .join(", "),
  ]);
  return [table(head, rows), ...left(all, shown), ""];
}

/** Those that do most of the work, in their order. */
function largest(all: readonly StaticKernel[], work: (one: StaticKernel) => number): readonly StaticKernel[] {
  if (all.some((kernel) => kernel.case !== null)) return all;
  const total = all.reduce((sum, one) => sum + work(one), 0);
  let sum = 0;
  const sorted = [...all].sort((a, b) => work(b) - work(a));
  return sorted.filter((one) => {
    const before = sum;
    sum += work(one);
    return before < SHOWN * total;
  });
}

function left(all: readonly StaticKernel[], shown: readonly StaticKernel[]): string[] {
  const more = all.length - shown.length;
  return more > 0
    ? [`and ${more} more with less than ${formatPercent(1 - SHOWN, 0)} of the work (--json)`]
    : [];
}

const RESOURCES = ["registers", "waves", "scratch B", "shared KiB"];

function resources({ registers, waves, scratchBytes, spills, sharedBytes }: StaticKernel): string[] {
  const spilled = spills > 0 ? ` + ${spills} spills` : "";
  return [`${registers}`, `${waves}`, `${scratchBytes}${spilled}`, digits(sharedBytes / 1024)];
}

/** The kernel, with the values that tell it apart from other pipelines of its file in the table. */
function labelOf({ kernel, values, case: shape }: StaticKernel, all: readonly StaticKernel[]): string {
  if (shape !== null) return `${nameOf(kernel)} ${shape}`;
  const same = all.filter((other) => other.kernel === kernel);
  const telling = Object.entries(values).filter(([key, value]) =>
    same.some((other) => other.values[key] !== value),
  );
  const words = telling.flatMap(([key, value]) =>
    value === true ? key : value === false ? [] : `${key}=${value}`,
  );
  return [nameOf(kernel), ...words].join(" ");
}

/** The rate that a bound is a share of. Families say what the rates are (families.ts). */
const PEAK = { f32: "peak f32", matrix: "the peak of f16 matrices" };

const nameOf = (kernel: string) => kernel.replace(/\.wgsl$/, "");
