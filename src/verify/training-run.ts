/**
 * Check of a whole training run. Tensors of a reference: init.<name>, x.<t>, labels.<t>, grad0.<name> (first step,
 * before the clip), final.<name> (parameters and running statistics), losses, grad_norms, distances [steps],
 * eval_logits (of x.0, after training).
 */
import type { Gpu } from "../gpu/gpu.ts";
import { createModel } from "../models/create-model.ts";
import { modelEntry } from "../models/index.ts";
import type { ImageFacts, ModelOptions } from "../models/model-entry.ts";
import type { Module } from "../nn/module.ts";
import { UsageError } from "../support/errors.ts";
import { pcg4d, STREAMS } from "../support/random.ts";
import { sizeOf } from "../tensor/shape.ts";
import { type Comparison, compare, norm, passes } from "./compare.ts";
import type { ReferenceCase, Values } from "./reference-file.ts";
import { type ChangeImages, RunExecution, type RunResults } from "./run-execution.ts";
import { type RunSettings, runSettings } from "./run-settings.ts";

/** Losses hardly depend on rounding; everything else went through a backward pass or several updates. */
const LOSS_TOLERANCE = 1e-4;
const RUN_TOLERANCE = 1e-3;

/**
 * A bias before a batch norm moves all values of a ghost alike, and the norm removes that again: its gradient is exactly 0.
 * Rounding leaves 1e-17 of it in the reference's float64 and 1e-8 in the engine's float32. A relative error means nothing
 * there, so an error is taken relative to at least this share of the size that the tensor would have if its numbers were
 * as large as the average over all gradients of the run.
 */
const GRADIENT_FLOOR = 1e-2;

export interface RunComparison {
  readonly compared: readonly Comparison[];
  /** Final values that the file omits, as the project's own files do with large ones. */
  readonly absent: readonly string[];
}

/** Compares a run, or says why the engine cannot do it yet. @throws DataError for an invalid reference */
export async function checkRun(
  gpu: Gpu,
  reference: ReferenceCase,
): Promise<RunComparison | { skipped: string }> {
  const settings = runSettings(reference);
  if (!knowsModel(reference.name)) return { skipped: `no model ${reference.name}` };
  const execution = await RunExecution.create(gpu, modelOf(reference, settings), reference, settings);
  const foreign = execution.epsilons.find((eps) => eps !== settings.bn_eps);
  if (foreign !== undefined)
    return { skipped: `batch norm with eps ${settings.bn_eps}, where ${reference.name} has ${foreign}` };

  const trained = await execution.run();
  const expectations = await expectationsOf(reference, trained);
  const results = perStep(trained);
  const absent = [...results.keys()].filter((name) => !expectations.has(name));
  const compared = compareRun(results, expectations);
  if (compared.every(passes)) return { compared, absent };
  const movement = await movementByRounding(execution, results, expectations);
  return { compared: compared.map((comparison) => withRounding(comparison, movement)), absent };
}

/**
 * Tolerance of the losses in mixed precision, at every step. Rounding to f16 is 8,192 times as coarse as to f32. Errors fall on both sides,
 * so a loss, which is a mean over a batch, hardly changes. A gradient that lost its scale or its small numbers would change it within a
 * few steps.
 */
const MIXED_LOSS_TOLERANCE = 2e-3;

/** Trains a run in mixed precision and compares its losses with the reference's. */
export async function checkMixedRun(
  gpu: Gpu,
  reference: ReferenceCase,
): Promise<RunComparison | { skipped: string }> {
  const settings = runSettings(reference);
  if (!knowsModel(reference.name)) return { skipped: `no model ${reference.name}` };
  const model = modelOf(reference, settings);
  const execution = await RunExecution.create(gpu, model, reference, settings, "mixed");
  const losses = (name: string, { data }: Values) =>
    [...data].map((value, t) => [`${name}[${t}]`, value] as const);
  const expected = new Map(losses("losses", await reference.floats("losses")));
  const trained = losses("losses", (await execution.run()).get("losses")!);
  const compared = trained.map(([name, value]) =>
    compare(name, [value], { shape: [1], data: [expected.get(name)!] }, { tolerance: MIXED_LOSS_TOLERANCE }),
  );
  return { compared, absent: [] };
}

function knowsModel(name: string): boolean {
  try {
    modelEntry(name);
    return true;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
}

function modelOf(reference: ReferenceCase, { options, batch }: RunSettings): Module {
  const [samples, channels, height, width, ...more] = reference.shape("x.0");
  const [rows, classes] = reference.shape("eval_logits");
  if (samples !== batch || rows !== batch || !channels || !height || !width || !classes || more.length > 0) {
    throw reference.error(
      `expected x.0 [${batch}, channels, height, width] and eval_logits [${batch}, classes]`,
    );
  }
  const image: ImageFacts = { channels, height, width, classes };
  const { depth, ...rest } = options;
  const named = reference.name.match(/^resnet(\d+)$/)?.[1]; // the name of a residual network contains its depth
  if (depth !== undefined && named !== undefined && depth !== Number(named)) {
    throw reference.error(`options.depth is ${depth}, but the name says ${named}`);
  }
  return createModel(reference.name, image, (named === undefined ? options : rest) as ModelOptions);
}

/**
 * The values of each step separately, as "losses[0]": the first steps of every run are known up to rounding; the later ones
 * of some runs are not.
 */
function perStep(tensors: RunResults): Map<string, Values> {
  return new Map(
    [...tensors].flatMap(([name, values]): [string, Values][] => {
      if (!["losses", "grad_norms", "distances"].includes(name)) return [[name, values]];
      const each = [...values.data];
      return each.map((value, t) => [`${name}[${t}]`, { shape: [1], data: Float32Array.of(value) }]);
    }),
  );
}

interface Expectation {
  readonly values: Values;
  readonly tolerance: number;
  readonly floor: number;
}

/** The reference's value of each result; it may omit some of the final values. */
async function expectationsOf(
  reference: ReferenceCase,
  results: RunResults,
): Promise<Map<string, Expectation>> {
  for (const prefix of ["grad0.", "final."]) {
    const unknown = reference.namesAfter(prefix).find((name) => !results.has(prefix + name));
    if (unknown !== undefined)
      throw reference.error(`has ${prefix}${unknown}, which the model does not have`);
  }
  if (reference.namesAfter("final.").length === 0) throw reference.error("has no tensor final.<name>");
  const expected = new Map<string, Values>();
  for (const [name, { shape }] of results) {
    if (name.startsWith("final.") && !reference.has(name)) continue;
    expected.set(name, await reference.floats(name, shape));
  }
  const gradients = [...expected].filter(([name]) => name.startsWith("grad0.")).map(([, values]) => values);
  const count = gradients.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const average = norm(gradients.map(({ data }) => norm(data))) / Math.sqrt(count);
  return new Map(
    [...perStep(expected)].map(([name, values]) => {
      const tolerance = name.startsWith("losses[") ? LOSS_TOLERANCE : RUN_TOLERANCE;
      const floor = name.startsWith("grad0.")
        ? GRADIENT_FLOOR * average * Math.sqrt(sizeOf(values.shape))
        : 0;
      return [name, { values, tolerance, floor }];
    }),
  );
}

function compareRun(results: RunResults, expectations: ReadonlyMap<string, Expectation>): Comparison[] {
  return [...expectations].map(([name, { values, tolerance, floor }]) =>
    compare(name, results.get(name)!.data, values, { tolerance, floor }),
  );
}

/**
 * A gradient is not continuous: where the input of a ReLU is within rounding of 0, float64 may pass a gradient that float32
 * blocks. One of the 1.5 million activations of a ResNet20 step on 8 images moves a bias by several 1e-3, and later steps
 * enlarge that: PyTorch's own float32 is 9e-2 away from its float64 in such a run. So if a run is outside its tolerances,
 * it is trained again on images that differ by as much as roundings add up to in a deep network. A tensor may then be off
 * by as much as that changes it. Only runs that are sensitive in this way get more tolerance.
 */
async function movementByRounding(
  execution: RunExecution,
  results: RunResults,
  expectations: ReadonlyMap<string, Expectation>,
): Promise<Map<string, number>> {
  const movement = new Map<string, number>();
  for (let trial = 1; trial <= ROUNDING_TRIALS; trial++) {
    const moved = perStep(await execution.run(rounded(trial)));
    for (const [name, { values, floor }] of expectations) {
      const difference = norm(moved.get(name)!.data.map((value, i) => value - results.get(name)!.data[i]!));
      const relative = difference / Math.max(norm(values.data), floor);
      movement.set(name, Math.max(movement.get(name) ?? 0, relative));
    }
  }
  return movement;
}

/** Not every trial flips the ReLU that rounding flips. */
const ROUNDING_TRIALS = 3;

/** Relative error of the last activations of a ResNet20 or ResNet44 in float32, measured with PyTorch: 2e-6, 6e-6. */
const ROUNDING = 4e-6;

/** How much further off than in the worst trial a tensor may be, since there are few trials with few flipped ReLUs in each. */
const ROUNDING_MARGIN = 4;

/** Each number times 1 ± ROUNDING, the sign random. */
function rounded(trial: number): ChangeImages {
  return (images, t) =>
    images.map(
      (value, i) => value * (1 + ((pcg4d(trial, STREAMS.noise, t, i)[0] & 1) === 0 ? ROUNDING : -ROUNDING)),
    );
}

/** A result of zeros has an error of 1, so the tolerance is always less. */
function withRounding(comparison: Comparison, movement: ReadonlyMap<string, number>): Comparison {
  const allowed = Math.min(ROUNDING_MARGIN * movement.get(comparison.tensor)!, 0.99);
  return passes(comparison) || !(allowed > comparison.tolerance)
    ? comparison
    : { ...comparison, rounding: allowed };
}
