import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { type CheckedPass, checkPasses } from "../../bench/check-passes.ts";
import { PASSES } from "../../bench/passes/index.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { openGpu } from "../../host/node/open-gpu.ts";
import { DataError } from "../../support/errors.ts";
import { activationType, type Precision, requirePrecision } from "../../train/precision.ts";
import { type Comparison, passes, worstOf } from "../../verify/compare.ts";
import { openReferenceFile, type ReferenceFile } from "../../verify/reference-file.ts";
import { type CaseResult, totalsOf, verifyFile } from "../../verify/verify.ts";
import { adapterOption, jsonOption, precisionOption } from "../options.ts";

/** The project's own reference files, which the published package includes. */
const OWN_FILES = fileURLToPath(new URL("../../../test/golden/", import.meta.url));

export function verifyCommand(): Command {
  return new Command("verify")
    .description("compare the engine on this machine's adapter with PyTorch's float64 results")
    .argument("[files...]", "reference files (.safetensors; default: the project's own)")
    .addOption(precisionOption())
    .addOption(adapterOption())
    .addOption(jsonOption())
    .action(verify);
}

async function verify(
  paths: string[],
  { adapter, precision, json }: { adapter?: string; precision: Precision; json?: boolean },
): Promise<void> {
  const files: ReferenceFile[] = [];
  try {
    // Open all before running the first, so that a wrong name is reported at once.
    for (const path of paths.length > 0 ? paths : ownFiles()) files.push(await openReferenceFile(path));
    const gpu = await openGpu({ adapter, relaunch: true });
    const say = json ? () => {} : console.log;
    say(`adapter: ${gpu.adapter.name}${gpu.adapter.software ? " (software)" : ""}`);
    requirePrecision(gpu, precision);
    const checked = precision === "f32" ? [] : await checkKernels(gpu, precision, say);
    const results: { path: string; cases: CaseResult[] }[] = [];
    for (const file of files) {
      say(file.path);
      const cases: CaseResult[] = [];
      for await (const result of verifyFile(gpu, file, precision)) {
        cases.push(result);
        say(lineOf(result));
      }
      results.push({ path: file.path, cases });
    }
    const all = results.flatMap(({ cases }) => cases);
    const totals = totalsOf(all);
    for (const { findings } of checked) totals[findings.length === 0 ? "passed" : "failed"]++;
    const { passed, failed, skipped } = totals;
    if (json) {
      const adapterFacts = { name: gpu.adapter.name, software: gpu.adapter.software, variant: gpu.variant };
      console.log(
        JSON.stringify(
          { adapter: adapterFacts, precision, kernels: checked, files: results.map(jsonOf), ...totals },
          null,
          2,
        ),
      );
    } else {
      if (skipped > 0)
        console.log(
          `NOT CHECKED, unknown to this engine: ${countsOf(all.filter(({ status }) => status === "skipped")).join(", ")}`,
        );
      const wrong = checked.filter(({ findings }) => findings.length > 0);
      const names = [
        ...wrong.map(({ pass, variant }) => `${pass} (${variant})`),
        ...countsOf(all.filter(({ status }) => status === "failed")),
      ];
      if (failed > 0) console.log(`FAILED: ${names.join(", ")}`);
      console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
    }
    if (failed > 0) process.exitCode = 1;
  } finally {
    for (const file of files) await file.close();
  }
}

/** Checks every kernel with f16 activations against float64 of the rounded inputs. */
async function checkKernels(
  gpu: Gpu,
  precision: Precision,
  say: (line: string) => void,
): Promise<CheckedPass[]> {
  say("kernels, activations in f16, against float64 of the rounded inputs");
  const checked: CheckedPass[] = [];
  for await (const one of checkPasses(gpu, PASSES, activationType(precision))) {
    checked.push(one);
    const { pass, variant, cases, findings } = one;
    const [first] = findings;
    say(
      first === undefined
        ? `  passed  ${pass}, ${variant} kernels: ${cases} cases`
        : `  FAILED  ${pass}, ${variant} kernels, ${first.case}: ${first.message}`,
    );
  }
  return checked;
}

function ownFiles(): string[] {
  let names: string[] = [];
  try {
    names = readdirSync(OWN_FILES).filter((name) => name.endsWith(".safetensors"));
  } catch {
    // A missing folder counts as an empty one.
  }
  if (names.length === 0) {
    throw new DataError(`${OWN_FILES}: contains no reference files; name some: ghostbatch verify FILE…`);
  }
  return names.sort().map((name) => join(OWN_FILES, name));
}

/** One case on one line: its name, and the tensor nearest to its tolerance or furthest beyond it. */
function lineOf({ status, name, details, tensors, absent = [], reason }: CaseResult): string {
  const start = `  ${status === "passed" ? "passed " : status.toUpperCase().padEnd(7)} ${name} ${details}: `;
  const worst = worstOf(tensors);
  if (worst === null) return `${start}${reason ?? "nothing compared"}`;
  const failing = tensors.filter((comparison) => !passes(comparison)).length;
  const count = failing > 0 ? `${failing} of ${tensors.length} tensors differ` : `${tensors.length} tensors`;
  const tolerance = worst.rounding ?? worst.tolerance;
  const parts = [
    `${count}, worst ${worst.tensor} ${worst.error.toExponential(1)} (tolerance ${tolerance.toExponential(1)})`,
  ];
  const loose = tensors.filter(({ rounding }) => rounding !== undefined).length;
  if (loose > 0)
    parts.push(`${loose} exceed their tolerance, but by no more than the effect of rounding on this run`);
  if (absent.length > 0) parts.push(`the file lacks ${absent.length} final values`);
  return start + parts.join("; ");
}

/** "conv2d (10)", "resnet8 (1)" */
function countsOf(results: readonly CaseResult[]): string[] {
  const counts = new Map<string, number>();
  for (const { name } of results) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${name} (${count})`);
}

/** A NaN or infinite error is null in JSON. */
function jsonOf({ path, cases }: { path: string; cases: readonly CaseResult[] }) {
  const tensorOf = (comparison: Comparison) => ({ ...comparison, passed: passes(comparison) });
  return {
    path,
    file: basename(path),
    cases: cases.map(({ tensors, ...result }) => ({ ...result, tensors: tensors.map(tensorOf) })),
  };
}
