// The reference model with which the engine's networks are compared: gradients of whole networks with unequal ghosts (22 samples
// in 7, 7 and 8) against central differences, and ghosts one by one against all at once.

import { describe, expect, test } from "vitest";
import { ghostRange } from "../../src/reference/ghost-batch-norm.ts";
import { l2Distance } from "../../src/reference/l2-distance.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { largest } from "../support/close.ts";
import { expectGradient } from "../support/gradcheck.ts";
import {
  evaluate,
  flatParameters,
  lossAndGradients,
  stateDict,
  trainingLoss,
  trainingStep,
} from "../support/model-reference.ts";
import {
  createReferenceF1,
  createReferenceResNet,
  type ReferenceModel,
} from "../support/reference-networks.ts";

const SAMPLES = 22;
const GHOSTS = { ghostSize: 7, ghosts: 3 };

const networks: [string, () => ReferenceModel][] = [
  ["f1", () => createReferenceF1({ inputs: 9, width: 6, hiddenLayers: 5 }, 1)],
  ["resnet8", () => createReferenceResNet({ depth: 8, imageSize: 6, widths: [3, 4, 5] }, 1)],
];

function batchFor(model: ReferenceModel, seed: number) {
  const random = randomData(seed);
  const features = model.inputShape.reduce((product, extent) => product * extent, 1);
  return { x: random.normals(SAMPLES * features), labels: random.integers(SAMPLES, model.classes) };
}

describe.each(networks)("%s", (name, create) => {
  test("gradients", () => {
    const model = create();
    const batch = batchFor(model, 3);
    const { gradients } = lossAndGradients(model, batch, GHOSTS);
    const scale = Math.max(...[...gradients.values()].map(largest));
    for (const [parameter, { data }] of model.parameters) {
      const analytic = gradients.get(parameter) as Float64Array;
      // Every element of a vector, some of a matrix. With a step below the default, fewer ReLUs change sides within it.
      const stride = data.length > 10 ? Math.ceil(data.length / 4) : 1;
      const indices = [...data.keys()].filter((i) => i % stride === 0);
      const label = `${name} ${parameter}`;
      // A bias before a batch norm has gradient 0, so the error is relative to the largest gradient of all tensors.
      const f = () => trainingLoss(model, batch, GHOSTS);
      expectGradient(f, { values: data, analytic, label, indices, step: 1e-6, scale });
    }
  });

  test("averaging over ghosts gives the mean over the ghosts, each as a separate batch", () => {
    const model = create();
    const { x, labels } = batchFor(model, 3);
    const features = x.length / SAMPLES;
    const own = [0, 1, 2].map((g) => {
      const { start, end } = ghostRange(g, { N: SAMPLES, ...GHOSTS });
      const ghost = { x: x.slice(start * features, end * features), labels: labels.slice(start, end) };
      return lossAndGradients(model, ghost, { ghostSize: end - start });
    });
    const together = lossAndGradients(model, { x, labels }, { ...GHOSTS, averaging: "ghosts" });
    expect(together.loss).toBeCloseTo((own[0].loss + own[1].loss + own[2].loss) / 3, 12);
    for (const [parameter, gradient] of together.gradients) {
      const mean = gradient.map(
        (_, i) => own.reduce((sum, { gradients }) => sum + (gradients.get(parameter)?.[i] ?? 0), 0) / 3,
      );
      expect(l2Distance({ a: gradient, b: mean })).toBeLessThan(1e-13);
    }
  });

  test("ghosts one by one give the same as all ghosts at once", () => {
    const model = create();
    const batch = batchFor(model, 4);
    const apart = lossAndGradients(model, batch, GHOSTS);
    const atOnce = lossAndGradients(model, batch, { ...GHOSTS, atOnce: true });
    expect(atOnce.loss).toBeCloseTo(apart.loss, 12);
    for (const [parameter, gradient] of apart.gradients) {
      expect(l2Distance({ a: gradient, b: atOnce.gradients.get(parameter) as Float64Array })).toBeLessThan(
        1e-13,
      );
    }
    for (const [layer, { mean, variance }] of apart.statistics) {
      const other = atOnce.statistics.get(layer);
      expect([...(other?.mean ?? [])]).toEqual([...mean]);
      expect([...(other?.variance ?? [])]).toEqual([...variance]);
    }
  });

  test("steps reduce the loss of a batch and move the running statistics; evaluation has no ghosts", () => {
    const model = create();
    const batch = batchFor(model, 5);
    const velocity = new Float64Array(flatParameters(model).length);
    const options = { ...GHOSTS, lr: 0.1, momentum: 0.9, weightDecay: 1e-4, clipNorm: 5 };
    const losses = Array.from({ length: 8 }, () => trainingStep(model, velocity, batch, options).loss);
    expect(losses[7]).toBeLessThan(0.85 * losses[0]);
    for (const [key, values] of stateDict(model)) {
      if (key.endsWith("running_mean")) expect(largest(values)).toBeGreaterThan(0);
    }
    const features = batch.x.length / SAMPLES;
    const alone = evaluate(model, batch.x.slice(0, features));
    expect([...evaluate(model, batch.x).slice(0, model.classes)]).toEqual([...alone]);
  });
});
