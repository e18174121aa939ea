/** Checks passes against float64 references on their small cases, for `verify --precision mixed` and tests. */
import type { Gpu } from "../gpu/gpu.ts";
import { runnableVariants, type Variant } from "../gpu/variant.ts";
import type { FloatType } from "../tensor/tensor.ts";
import { captureCommands } from "./capture.ts";
import { type Finding, findingsOf, runCommands } from "./check.ts";
import type { Pass, PassCase } from "./pass.ts";

export interface CheckedPass {
  readonly pass: string;
  readonly variant: Variant;
  readonly cases: number;
  /** Findings with their cases. */
  readonly findings: readonly (Finding & { readonly case: string })[];
}

/** Operations that plain loops and a software adapter do in a few milliseconds. */
const SMALL = { flops: 1e6, bytes: 2 ** 20 };
/** Cases per pass, spread evenly over the small ones. */
const CASES = 3;

/**
 * Runs the passes that read or write activations, stored in a type, in every variant of the adapter.
 * @param type type of activations; inputs are rounded to it before the reference is computed
 */
export async function* checkPasses(
  gpu: Gpu,
  passes: readonly Pass[],
  type: FloatType,
): AsyncGenerator<CheckedPass> {
  for (const pass of passes.filter(({ types }) => types.includes(type))) {
    const cases = someOf(pass.cases);
    for (const variant of runnableVariants(gpu)) {
      const findings: (Finding & { case: string })[] = [];
      for (const one of cases) {
        const found = await gpu.lifetime(async () => {
          const { launch, outputs } = await one.prepare(gpu, type);
          const commands = captureCommands(gpu, variant, launch);
          return findingsOf(outputs, await runCommands(gpu, commands, outputs));
        });
        findings.push(...found.map((finding) => ({ ...finding, case: one.label })));
      }
      yield { pass: pass.name, variant, cases: cases.length, findings };
    }
  }
}

function someOf(cases: readonly PassCase[]): PassCase[] {
  const small = cases.filter(
    ({ paper, flops, bytes }) => !paper && flops < SMALL.flops && bytes < SMALL.bytes,
  );
  if (small.length <= CASES) return small;
  return Array.from({ length: CASES }, (_, i) => small[Math.floor((i * small.length) / CASES)]!);
}
