/**
 * `bench kernel FILE --as OP --tune`: checks and times every combination of the values that a kernel file lists after its `@spec` constants,
 * each as a separate file.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { UsageError } from "../support/errors.ts";
import type { UserKernelOptions, UserKernelReport } from "./user-kernel.ts";
import { type ProcessOptions, userKernelInProcess } from "./user-kernel-process.ts";

/** `const TM: u32 = 4u; // @spec 4, 8  channels of a thread` */
const LISTED =
  /^([ \t]*const\s+(\w+)[^=\n]*=\s*)(\d+)([ui]?)(\s*;\s*\/\/\s*@spec)[ \t]+(\d+(?:[ \t]*,[ \t]*\d+)+)/gm;

/** The most combinations; more would take hours. */
const MOST_CANDIDATES = 64;

export type SpecValues = Readonly<Record<string, number>>;

export interface Candidate {
  readonly values: SpecValues;
  /** The file with these values as constants. */
  readonly code: string;
}

/**
 * All combinations, starting with that of the unchanged file.
 * @throws UsageError for a file that lists no values, or too many
 */
export function specCandidates(path: string, code: string): Candidate[] {
  const constants = [...code.matchAll(LISTED)].map(([, , name, value, , , list]) => {
    const values = list!.split(",").map(Number);
    return { name: name!, values: [...new Set([Number(value), ...values])] };
  });
  if (constants.length === 0) {
    throw new UsageError(
      `${path}: --tune needs a constant with values in its comment, such as \`const TM: u32 = 4u; // @spec 4, 8\``,
    );
  }
  let all: SpecValues[] = [{}];
  for (const { name, values } of constants) {
    all = all.flatMap((before) => values.map((value) => ({ ...before, [name]: value })));
  }
  if (all.length > MOST_CANDIDATES) {
    throw new UsageError(
      `${path}: the @spec values make ${all.length} combinations; at most ${MOST_CANDIDATES} are tried, so list fewer`,
    );
  }
  // Without the mark, the built-in kernel's value for a constant of that name does not replace it.
  const withValues = (values: SpecValues) =>
    code.replace(
      LISTED,
      (_, begin: string, name: string, __, suffix: string) => `${begin}${values[name]}${suffix}; // `,
    );
  return all.map((values) => ({ values, code: withValues(values) }));
}

/** The lines of the constants with new values, to paste into the file. */
export function specLines(code: string, values: SpecValues): string[] {
  return [...code.matchAll(LISTED)].map(
    ([, begin, name, , suffix, mark, list]) => `${begin}${values[name!]}${suffix}${mark} ${list}`,
  );
}

export interface MeasuredCandidate {
  readonly values: SpecValues;
  readonly report: UserKernelReport;
  /**
   * Geometric mean over the timed shapes of its time divided by that of the fastest built-in kernel in the same process; null
   * if it is incorrect.
   */
  readonly ratio: number | null;
}

/** @throws as specCandidates and benchUserKernel */
export async function tuneUserKernel(
  options: UserKernelOptions,
  code: string,
  inProcess: ProcessOptions,
): Promise<MeasuredCandidate[]> {
  const candidates = specCandidates(options.file, code);
  const folder = await mkdtemp(join(tmpdir(), "ghostbatch-tune-"));
  const file = join(folder, basename(options.file));
  const measured: MeasuredCandidate[] = [];
  try {
    for (const [index, candidate] of candidates.entries()) {
      await writeFile(file, candidate.code);
      const onPhase = (phase: string) =>
        inProcess.onPhase(`${index + 1} of ${candidates.length}, ${valuesText(candidate.values)}: ${phase}`);
      const found = await userKernelInProcess({ ...options, file }, { ...inProcess, onPhase });
      // Messages name the user's file, because the candidate's file is temporary.
      const text = JSON.stringify(found).replaceAll(withoutEnding(file), withoutEnding(options.file));
      measured.push({ values: candidate.values, report: JSON.parse(text), ratio: ratioOf(found) });
    }
    return measured;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** "TM=4 TN=8" */
export function valuesText(values: SpecValues): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

function ratioOf({ file, passed, rows }: UserKernelReport): number | null {
  if (!passed || rows.length === 0) return null;
  const own = rows.filter(({ kernel }) => kernel === withoutEnding(file));
  const logs = own.map(({ case: shape, ms }) => {
    const others = rows.filter((row) => row.case === shape && !own.includes(row));
    return Math.log(ms.median / Math.min(...others.map((row) => row.ms.median)));
  });
  return logs.length === 0 ? null : Math.exp(logs.reduce((sum, one) => sum + one, 0) / logs.length);
}

const withoutEnding = (path: string) => path.replace(/\.wgsl$/, "");
