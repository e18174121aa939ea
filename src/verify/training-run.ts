/**
 * Check of a whole training run: the engine's own training step, recorded and replayed, on the batches that the
 * reference was trained on. Tensors: init.<name>, x.<t>, labels.<t>, grad0.<name> (before the clip), final.<name>
 * (parameters and running statistics), losses, grad_norms, distances [steps], eval_logits (of x.0, after training).
 */
import { z } from "zod";
import type { Gpu } from "../gpu/gpu.ts";
import { Arena, record } from "../gpu/recording.ts";
import { createModel, type ImageFacts, modelEntry, type ModelOptions } from "../models/index.ts";
import type { Module } from "../nn/module.ts";
import { materialize, type ModelState } from "../nn/model-state.ts";
import { loadStateDict, stateDict } from "../nn/state-dict.ts";
import { UsageError } from "../support/errors.ts";
import { sizeOf } from "../tensor/shape.ts";
import { persistent, readFloats } from "../tensor/tensor.ts";
import { StepUniform } from "../train/step-uniform.ts";
import { measureDistance, trainingStep } from "../train/training-step.ts";
import { type Comparison, compare, norm } from "./compare.ts";
import { cutIntoGhosts } from "./ghosts.ts";
import { evaluate, positive } from "./operation.ts";
import type { ReferenceCase, Values } from "./reference-file.ts";

const rate = z.number().min(0);
const Settings = z.object({
  options: z.looseObject({ width: positive.optional(), hidden: positive.optional(), depth: positive.optional() }).default({}),
  batch: positive,
  ghost_size: positive,
  steps: positive,
  lr: rate,
  momentum: rate,
  weight_decay: rate,
  clip_norm: rate,
  bn_momentum: rate.max(1),
  bn_eps: rate,
});
type Settings = z.infer<typeof Settings>;

/** Losses hardly depend on how roundings fall; all else went through a backward pass or several updates. */
const LOSS_TOLERANCE = 1e-4;
const RUN_TOLERANCE = 1e-3;

/** How the case is named in a report. */
export function describeRun(reference: ReferenceCase): string {
  const { options, batch, ghost_size, steps } = reference.attributes(Settings);
  const given = Object.entries(options).map(([name, value]) => `${name} ${value}`);
  return [...given, `batch ${batch}`, `ghosts of ${ghost_size}`, `${steps} steps`].join(", ");
}

/**
 * Compares a run, or says why the engine cannot do it yet.
 * @returns `absent`: final values that the file leaves out, as the project's own do with large ones
 */
export async function checkRun(
  gpu: Gpu,
  reference: ReferenceCase,
): Promise<{ compared: readonly Comparison[]; absent: readonly string[] } | { skipped: string }> {
  const settings = reference.attributes(Settings);
  const { batch, ghost_size, bn_eps } = settings;
  if (!knowsModel(reference.name)) return { skipped: `no model ${reference.name}` };
  const model = await modelOf(reference, settings);
  const layout = cutIntoGhosts(batch, ghost_size);
  const state = materialize(gpu, model, { seed: 0, maximumGhosts: layout.ghosts });
  const foreign = state.norms.find(([, { eps }]) => eps !== bn_eps);
  if (foreign) return { skipped: `batch norm with eps ${bn_eps}: that of ${reference.name} is ${foreign[1].eps}` };
  const init = new Map<string, Values>();
  for (const name of reference.namesAfter("init.")) init.set(name, await reference.floats(`init.${name}`));
  await loadStateDict(state, init, reference.error("init").message);

  const series = await train(gpu, state, reference, settings);
  const final = await stateDict(state);
  const x = persistent(gpu, reference.shape("x.0"));
  gpu.write(x, (await reference.floats("x.0")).data);
  const { logits } = await evaluate(gpu, () => ({ logits: model.forward(x, { kind: "eval" }) }));

  const comparisons: Comparison[] = [];
  for (const [name, values] of Object.entries({ losses: series.losses, grad_norms: series.norms, distances: series.distances })) {
    const tolerance = name === "losses" ? LOSS_TOLERANCE : RUN_TOLERANCE;
    comparisons.push(compare(name, values, await reference.floats(name, [settings.steps]), { tolerance }));
  }
  const names = [...final.keys()]; // the parameters come first, in their order
  const gradients = new Map(series.gradients.map((gradient, index) => [names[index]!, gradient]));
  for (const name of gradients.keys()) reference.shape(`grad0.${name}`);
  comparisons.push(
    ...(await compareNamed(reference, "grad0.", gradients, GRADIENT_FLOOR)),
    ...(await compareNamed(reference, "final.", final, 0)),
    compare("eval_logits", logits!, await reference.floats("eval_logits"), { tolerance: RUN_TOLERANCE }),
  );
  const absent = [...final.keys()].map((name) => `final.${name}`).filter((name) => !reference.has(name));
  return { compared: comparisons, absent };
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

async function modelOf(reference: ReferenceCase, { options, batch }: Settings): Promise<Module> {
  const [samples, channels, height, width] = reference.shape("x.0");
  const [, classes] = reference.shape("eval_logits");
  if (samples !== batch || !channels || !height || !width || !classes) {
    throw reference.error(`expected x.0 [${batch}, channels, height, width] and eval_logits [${batch}, classes]`);
  }
  const image: ImageFacts = { channels, height, width, classes };
  const { depth, ...rest } = options;
  const named = reference.name.match(/^resnet(\d+)$/)?.[1]; // a residual network has its depth in its name
  if (depth !== undefined && named !== undefined && depth !== Number(named)) {
    throw reference.error(`options.depth is ${depth}, the name says ${named}`);
  }
  return createModel(reference.name, image, (named === undefined ? options : rest) as ModelOptions);
}

interface Series {
  readonly losses: readonly number[];
  /** Global norm of each step's gradient before the clip. */
  readonly norms: readonly number[];
  /** ‖w − w₀‖ after each step. */
  readonly distances: readonly number[];
  /** Gradients of the first step, before the clip, in the order of the parameters. */
  readonly gradients: readonly Values[];
}

async function train(gpu: Gpu, state: ModelState, reference: ReferenceCase, settings: Settings): Promise<Series> {
  const { batch, ghost_size, steps, lr, momentum, weight_decay, clip_norm, bn_momentum } = settings;
  const shape = reference.shape("x.0");
  const classes = reference.shape("eval_logits", [batch, reference.shape("eval_logits")[1]!])[1]!;
  const x = persistent(gpu, shape, { label: "images" });
  const labels = persistent(gpu, [batch], { dtype: "u32", label: "labels" });
  const log = persistent(gpu, [1, 8], { label: "log" });
  const distance = persistent(gpu, [2], { label: "distance" });
  const step = new StepUniform(gpu);
  const arena = new Arena(gpu);
  const layout = cutIntoGhosts(batch, ghost_size);
  const running = { rule: "sequential", momentum: bn_momentum } as const;
  const input = () => ({ x, labels });
  const training = await record(gpu, arena, "training step", () =>
    trainingStep(state, { step: step.tensor, log }, layout, { maximumSlab: batch, running, input }),
  );
  const measuring = await record(gpu, arena, "distance", () => measureDistance(state, distance));

  const losses: number[] = [];
  const norms: number[] = [];
  const distances: number[] = [];
  const gradients: Values[] = [];
  for (let t = 0; t < steps; t++) {
    gpu.write(x, (await reference.floats(`x.${t}`, shape)).data);
    gpu.write(labels, await reference.integers(`labels.${t}`, classes, [batch]));
    const still = { seed: 0, epoch: 0, firstSample: 0 };
    step.write({ ...still, learningRate: lr, momentum, weightDecay: weight_decay, clipNorm: clip_norm, step: t });
    training.replay();
    measuring.replay();
    const [row, measured] = await Promise.all([readFloats(log), readFloats(distance)]);
    losses.push(row[0]!);
    norms.push(row[4]!);
    distances.push(measured[1]!);
    if (t > 0) continue;
    for (const [, { value }] of state.parameters) {
      gradients.push({ shape: value.shape, data: await readFloats(value.gradient!) });
    }
  }
  return { losses, norms, distances, gradients };
}

/**
 * A bias in front of a batch norm moves all values of a ghost alike, which the norm takes out again: its gradient is
 * exactly 0, the reference holds the 1e-17 that float64 leaves of it and the engine float32's 1e-8. No relative error
 * means anything there, so an error is taken relative to at least this part of the size that the tensor would have if
 * its numbers were as large as those of all gradients of the run are on the average.
 */
const GRADIENT_FLOOR = 1e-2;

/** Compares the tensors under `prefix` that the reference has: at least one. */
async function compareNamed(
  reference: ReferenceCase,
  prefix: string,
  results: ReadonlyMap<string, Values>,
  floor: number,
): Promise<Comparison[]> {
  const expected = new Map<string, Values>();
  for (const name of reference.namesAfter(prefix)) {
    const result = results.get(name);
    if (!result) throw reference.error(`has ${prefix}${name}, which the model does not have`);
    expected.set(name, await reference.floats(prefix + name, result.shape));
  }
  if (expected.size === 0) throw reference.error(`has no tensor ${prefix}<name>`);
  const values = [...expected.values()];
  const count = values.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const average = norm(values.map(({ data }) => norm(data))) / Math.sqrt(count);
  return [...expected].map(([name, tensor]) => {
    const least = floor * average * Math.sqrt(sizeOf(tensor.shape));
    return compare(prefix + name, results.get(name)!.data, tensor, { tolerance: RUN_TOLERANCE, floor: least });
  });
}
