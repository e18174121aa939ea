// A training run as plain loops in float64: order of the samples, batches, augmentation, regime, evaluation and distances.

import type { ResidentDataset } from "../../src/data/resident.ts";
import { drawCrop, batch as gather } from "../../src/reference/batch.ts";
import { softmaxCrossEntropy } from "../../src/reference/softmax-cross-entropy.ts";
import { permutation, STREAMS } from "../../src/support/random.ts";
import { readTensor } from "../../src/tensor/tensor.ts";
import { hyperparametersAt } from "../../src/train/regime.ts";
import type { StepMetrics, TrainOptions } from "../../src/train/trainer.ts";
import { evaluate, flatParameters, lossAndGradients, trainingStep } from "./model-reference.ts";
import type { ReferenceModel } from "./reference-networks.ts";

/**
 * The run that a trainer with these options does on data normalized with 0.5 and 0.5, step by step.
 * @param reference its parameters and running statistics are trained
 */
export async function referenceRun(
  data: ResidentDataset,
  reference: ReferenceModel,
  { regime, epoch, partial, seed, clipNorm, running, augmentation: augments }: TrainOptions,
) {
  const [train, test] = await Promise.all(
    [data.train, data.test].map(({ images }) => readTensor(images[0]!)),
  );
  const { augmentation, imageShape } = data;
  const [C, H, W] = imageShape;
  const image = { C, H, W, ...augmentation, mean: [0.5], deviation: [0.5] };
  const [trainLabels, testLabels] = [await readTensor(data.train.labels), await readTensor(data.test.labels)];
  const { count } = data.train;
  const start = flatParameters(reference);
  const velocity = new Float64Array(start.length);
  const steps: Pick<StepMetrics, "step" | "loss" | "gradientNorm" | "learningRate" | "accuracy">[] = [];
  const evaluations: { step: number; loss: number; accuracy: number }[] = [];
  for (let step = 0; step < regime.totalSteps; step++) {
    const [which, position] = [Math.floor(step / regime.stepsPerEpoch), step % regime.stepsPerEpoch];
    const layout = position === regime.stepsPerEpoch - 1 ? epoch.last : epoch.full!;
    const orders = [which, which + 1].map((number) =>
      permutation(count, { seed, stream: STREAMS.shuffle, epoch: number }),
    );
    const samples = Array.from({ length: layout.total }, (_, n) => {
      const at = position * regime.batchSize + n;
      return at < count ? orders[0]![at]! : orders[1]![at - count]!;
    });
    const drawn = samples.map((sample) =>
      drawCrop({ seed, stream: STREAMS.augmentation, epoch: which, sample }, augmentation.padding),
    );
    const x = gather(
      { images: train as Uint8Array, order: samples, ...(augments && { crops: drawn }) },
      image,
    );
    const labels = samples.map((sample) => trainLabels[sample]!);
    const { learningRate, momentum, weightDecay, resetMomentum } = hyperparametersAt(regime, step);
    if (resetMomentum) velocity.fill(0);
    const { ghostSize, ghosts } = layout;
    const averaging = partial === "authors" ? ("ghosts" as const) : ("samples" as const);
    const inTraining = {
      lr: learningRate,
      momentum,
      weightDecay,
      clipNorm,
      ghostSize,
      ghosts,
      averaging,
      rule: running.rule,
    };
    const hits = hitsInTraining(reference, { x, labels }, { ghostSize, ghosts });
    const { loss, gradientNorm } = trainingStep(reference, velocity, { x, labels }, inTraining);
    steps.push({ step: step + 1, loss, gradientNorm, learningRate, accuracy: (100 * hits) / layout.total });
    const endsEpoch = (step + 1) % regime.stepsPerEpoch === 0;
    if (!endsEpoch && step + 1 < regime.totalSteps) continue;
    const head = softmaxCrossEntropy(
      {
        logits: evaluate(
          reference,
          gather({ images: test as Uint8Array, order: [...testLabels.keys()] }, image),
        ),
        labels: testLabels,
      },
      { N: testLabels.length, classes: reference.classes },
    );
    evaluations.push({
      step: step + 1,
      loss: head.loss,
      accuracy: (100 * sum(head.top1)) / testLabels.length,
    });
  }
  const first = [...reference.parameters.values()][0]!;
  const moved = flatParameters(reference).map((value, i) => value - start[i]!);
  return {
    steps,
    evaluations,
    distanceFirst: Math.hypot(...moved.subarray(0, first.data.length)),
    distanceAll: Math.hypot(...moved),
  };
}

function hitsInTraining(
  reference: ReferenceModel,
  batch: { x: Float64Array; labels: number[] },
  ghosts: { ghostSize: number; ghosts: number },
) {
  const { logits } = lossAndGradients(reference, batch, ghosts);
  return sum(
    softmaxCrossEntropy(
      { logits, labels: batch.labels },
      { N: batch.labels.length, classes: reference.classes },
    ).top1,
  );
}

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);
