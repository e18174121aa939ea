/** Repeats a reference's training on the engine: the engine's own training step, recorded and replayed, on the given batches. */
import type { Gpu } from "../gpu/gpu.ts";
import { Arena, type Recording, record } from "../gpu/recording.ts";
import { type ModelState, materialize, resetVelocity } from "../nn/model-state.ts";
import type { Module } from "../nn/module.ts";
import { loadStateDict, stateDict } from "../nn/state-dict.ts";
import { persistent, readFloats, type Tensor, writeFloats } from "../tensor/tensor.ts";
import { activationType, lossScaleOf, type Precision, unscaled } from "../train/precision.ts";
import { StepUniform } from "../train/step-uniform.ts";
import { measureDistance, trainingStep } from "../train/training-step.ts";
import { cutIntoGhosts } from "./ghosts.ts";
import { evaluate } from "./operation.ts";
import type { ReferenceCase, Values } from "./reference-file.ts";
import type { RunSettings } from "./run-settings.ts";

/** Every tensor of a run that a reference may contain, by its name there. */
export type RunResults = ReadonlyMap<string, Values>;

/** Changes the images of step t before they are trained on. */
export type ChangeImages = (images: Float32Array<ArrayBuffer>, t: number) => Float32Array<ArrayBuffer>;

interface RunTensors {
  readonly x: Tensor;
  readonly labels: Tensor;
  readonly log: Tensor;
  readonly distance: Tensor;
}

export class RunExecution {
  readonly #state: ModelState;
  readonly #reference: ReferenceCase;
  readonly #settings: RunSettings;
  readonly #classes: number;
  readonly #tensors: RunTensors;
  readonly #step: StepUniform;
  readonly #lossScale: number;
  readonly #training: Recording;
  readonly #measuring: Recording;

  private constructor(fields: {
    state: ModelState;
    reference: ReferenceCase;
    settings: RunSettings;
    classes: number;
    tensors: RunTensors;
    step: StepUniform;
    lossScale: number;
    recordings: { training: Recording; measuring: Recording };
  }) {
    this.#state = fields.state;
    this.#reference = fields.reference;
    this.#settings = fields.settings;
    this.#classes = fields.classes;
    this.#tensors = fields.tensors;
    this.#step = fields.step;
    this.#lossScale = fields.lossScale;
    this.#training = fields.recordings.training;
    this.#measuring = fields.recordings.measuring;
  }

  /** Gives the model memory and records its steps. */
  static async create(
    gpu: Gpu,
    model: Module,
    reference: ReferenceCase,
    settings: RunSettings,
    precision: Precision = "f32",
  ): Promise<RunExecution> {
    const { batch, ghost_size, bn_momentum } = settings;
    const layout = cutIntoGhosts(batch, ghost_size);
    const activations = activationType(precision);
    const lossScale = precision === "f32" ? 1 : lossScaleOf(batch);
    const state = materialize(gpu, model, { seed: 0, maximumGhosts: layout.ghosts, activations });
    const tensors = {
      x: persistent(gpu, reference.shape("x.0"), { dtype: activations, label: "images" }),
      labels: persistent(gpu, [batch], { dtype: "u32", label: "labels" }),
      log: persistent(gpu, [1, 8], { label: "log" }),
      distance: persistent(gpu, [2], { label: "distance" }),
    };
    const step = new StepUniform(gpu);
    const arena = new Arena(gpu);
    const body = () =>
      trainingStep(state, { step: step.tensor, log: tensors.log }, layout, {
        slabSamples: batch,
        running: { rule: "sequential", momentum: bn_momentum },
        input: () => tensors,
        lossScale,
      });
    const training = await record(gpu, arena, "training step", body);
    const measuring = await record(gpu, arena, "distance", () => measureDistance(state, tensors.distance));
    const classes = reference.shape("eval_logits")[1]!;
    const recordings = { training, measuring };
    return new RunExecution({ state, reference, settings, classes, tensors, step, lossScale, recordings });
  }

  /** The added constants of its batch norms. */
  get epsilons(): number[] {
    return this.#state.norms.map(([, { eps }]) => eps);
  }

  /** The whole run, from the reference's first weights. @throws DataError for tensors that do not fit the model */
  async run(change: ChangeImages = (images) => images): Promise<RunResults> {
    const { gpu } = this.#state;
    const { batch, steps, lr, momentum, weight_decay, clip_norm } = this.#settings;
    const { x, labels, log, distance } = this.#tensors;
    await this.#reset();
    const losses = new Float32Array(steps);
    const norms = new Float32Array(steps);
    const distances = new Float32Array(steps);
    let gradients: Values[] = [];
    for (let t = 0; t < steps; t++) {
      writeFloats(x, change((await this.#reference.floats(`x.${t}`, x.shape)).data, t));
      gpu.write(labels, await this.#reference.integers(`labels.${t}`, this.#classes, [batch]));
      this.#step.write({
        learningRate: lr,
        momentum,
        weightDecay: weight_decay,
        clipNorm: clip_norm,
        seed: 0,
        epoch: 0,
        step: t,
        firstSample: 0,
      });
      this.#training.replay();
      this.#measuring.replay();
      const [row, measured] = await Promise.all([readFloats(log), readFloats(distance)]);
      losses[t] = row[0]!;
      norms[t] = row[4]!;
      distances[t] = measured[1]!;
      if (t === 0) gradients = await this.#readGradients();
    }
    const final = await stateDict(this.#state);
    const names = [...final.keys()]; // the parameters come first, in their order
    return new Map([
      ["losses", { shape: [steps], data: losses }],
      ["grad_norms", { shape: [steps], data: norms }],
      ["distances", { shape: [steps], data: distances }],
      ...gradients.map((gradient, index): [string, Values] => [`grad0.${names[index]}`, gradient]),
      ...[...final].map(([name, value]): [string, Values] => [`final.${name}`, value]),
      ["eval_logits", await this.#evaluate(change)],
    ]);
  }

  async #reset(): Promise<void> {
    const init = new Map<string, Values>();
    for (const name of this.#reference.namesAfter("init.")) {
      init.set(name, await this.#reference.floats(`init.${name}`));
    }
    await loadStateDict(this.#state, init, this.#reference.error("init").message);
    resetVelocity(this.#state);
  }

  /** Reads the gradients before the clip, which scales them as they are added to the velocity. */
  async #readGradients(): Promise<Values[]> {
    const gradients: Values[] = [];
    for (const [, { value }] of this.#state.parameters) {
      gradients.push({
        shape: value.shape,
        data: unscaled(await readFloats(value.gradient!), this.#lossScale),
      });
    }
    return gradients;
  }

  async #evaluate(change: ChangeImages): Promise<Values> {
    const { gpu, model } = this.#state;
    const { x } = this.#tensors;
    writeFloats(x, change((await this.#reference.floats("x.0")).data, 0));
    const { logits } = await evaluate(gpu, () => ({ logits: model.forward(x, { kind: "eval" }) }));
    return { shape: [this.#settings.batch, this.#classes], data: logits as Float32Array<ArrayBuffer> };
  }
}
