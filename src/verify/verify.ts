/** Runs the cases of reference files on a GPU. */
import type { Gpu } from "../gpu/gpu.ts";
import { DeviceError, ShapeError, UsageError } from "../support/errors.ts";
import { shapeText } from "../tensor/shape.ts";
import type { Precision } from "../train/precision.ts";
import { type Comparison, passes } from "./compare.ts";
import { checkAdd, checkAvgPool2d, checkConv2d, checkLinear, checkMaxPool2d, checkRelu } from "./layers.ts";
import { checkGhostBatchNorm } from "./normalization.ts";
import type { OperationCheck } from "./operation.ts";
import { checkCrossEntropy, checkDistance, checkSgd } from "./optimization.ts";
import type { ReferenceCase, ReferenceFile } from "./reference-file.ts";
import { describeRun, runSettings } from "./run-settings.ts";
import { checkMixedRun, checkRun } from "./training-run.ts";

/** The operations that the engine knows, by their names in reference files. An operation is one entry. */
const OPERATIONS: Readonly<Record<string, OperationCheck>> = {
  conv2d: checkConv2d,
  linear: checkLinear,
  max_pool2d: checkMaxPool2d,
  avg_pool2d: checkAvgPool2d,
  relu: checkRelu,
  add: checkAdd,
  ghost_batch_norm: checkGhostBatchNorm,
  cross_entropy: checkCrossEntropy,
  sgd: checkSgd,
  l2_distance: checkDistance,
};

export interface CaseResult {
  /** Position of the case in its file. */
  readonly index: number;
  /** Operation or model. */
  readonly name: string;
  /** Shapes and attributes, to tell cases with the same name apart. */
  readonly details: string;
  readonly status: "passed" | "failed" | "skipped";
  readonly tensors: readonly Comparison[];
  /** Final values that the file of a run omits. */
  readonly absent?: readonly string[];
  /** Why it was skipped. */
  readonly reason?: string;
}

export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Checks the cases in order. A case passes if all its tensors do.
 * @param precision with "mixed", only the losses of runs are compared
 * @throws DataError for an invalid case; one that the engine does not know is skipped
 */
export async function* verifyFile(
  gpu: Gpu,
  file: ReferenceFile,
  precision: Precision = "f32",
): AsyncGenerator<CaseResult> {
  // Single operations have inputs that f16 cannot represent.
  const cases = file.cases.filter(({ kind }) => precision === "f32" || kind === "run");
  for (const reference of cases) yield await gpu.lifetime(() => verifyCase(gpu, reference, precision));
}

export function totalsOf(results: readonly CaseResult[]): Totals {
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  for (const { status } of results) totals[status]++;
  return totals;
}

async function verifyCase(gpu: Gpu, reference: ReferenceCase, precision: Precision): Promise<CaseResult> {
  const { index, name, kind } = reference;
  try {
    const details = kind === "run" ? describeRun(runSettings(reference)) : describeOperation(reference);
    const outcome = await (kind !== "run"
      ? checkOperation(gpu, reference)
      : CHECK_RUN[precision](gpu, reference));
    if ("skipped" in outcome)
      return { index, name, details, status: "skipped", tensors: [], reason: outcome.skipped };
    const { compared: tensors, absent } = outcome;
    return { index, name, details, status: tensors.every(passes) ? "passed" : "failed", tensors, absent };
  } catch (error) {
    // Shapes and sizes come from the file here.
    if (error instanceof ShapeError || error instanceof UsageError)
      throw reference.error(error.message, error);
    if (error instanceof DeviceError)
      throw new DeviceError(reference.error(error.message).message, { cause: error });
    throw error;
  }
}

const CHECK_RUN = { f32: checkRun, mixed: checkMixedRun };

async function checkOperation(gpu: Gpu, reference: ReferenceCase) {
  const check = Object.hasOwn(OPERATIONS, reference.name) ? OPERATIONS[reference.name] : undefined;
  if (!check) return { skipped: `no operation ${reference.name}` };
  return { compared: await check(gpu, reference), absent: [] };
}

/** The input's shape, the weight's if there is one, and the attributes. */
function describeOperation(reference: ReferenceCase): string {
  const [first] = reference.tensors;
  const shapes = [first!, ...reference.tensors.filter((name) => name === "weight" && name !== first)];
  return [...shapes.map((name) => shapeText(reference.shape(name))), ...reference.describeAttributes()].join(
    " ",
  );
}
