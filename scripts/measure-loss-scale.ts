// The effect of the loss scale at a batch of 4096: the share of activations' gradients that f16 would flush to 0, and the error of
// the parameters' gradient, with and without the scale.
// .software-gpu/bin/node --import tsx scripts/measure-loss-scale.ts FOLDER SEED [STEPS] [IMAGES]
// FOLDER has train/CLASS and test/CLASS. First ResNet8 is trained in f32 for STEPS steps of 32 images (default 40). IMAGES of the batch
// are computed (default: all). Each ghost has its own gradient, so fewer images are a sample of the same numbers.
import { openGpu } from "../src/host/node/open-gpu.ts";
import { pointAfter } from "../src/measure/point.ts";
import { GradientProbe } from "../src/measure/probe.ts";
import { createModel } from "../src/models/create-model.ts";
import { type ModelState, materialize } from "../src/nn/model-state.ts";
import { softmaxCrossEntropy } from "../src/ops/softmax-cross-entropy.ts";
import { Tape } from "../src/ops/tape.ts";
import { completeSpec } from "../src/run/run-spec.ts";
import { fromArray, readFloats, type Tensor } from "../src/tensor/tensor.ts";
import { partitionBatch, slabs } from "../src/train/ghosts.ts";
import { lossScaleOf } from "../src/train/precision.ts";
import { IDLE_STEP, StepUniform } from "../src/train/step-uniform.ts";
import { gatherTraining } from "../src/train/training-step.ts";

const [folder, seedText, stepsText = "40", imagesText = "4096"] = process.argv.slice(2);
if (!folder || !seedText) throw new Error("expected FOLDER SEED [STEPS] [IMAGES]");
const [BATCH, GHOST, SMALL] = [4096, 128, 32];
const images = Number(imagesText);
/** Number of ghosts whose activations' gradients are counted; all ghosts of a batch are alike. */
const COUNTED = 4;
/** Half of f16's smallest positive number: up to this, numbers round to 0. */
const FLUSHED = 2 ** -25;

const gpu = await openGpu({ tuning: "off" });
const spec = completeSpec({
  ...{ model: "resnet8", dataset: `folder:${folder},size=32`, seed: Number(seedText) },
  ...{ subset: { train: BATCH, test: GHOST, seed: 0 }, batchSize: SMALL, ghostSize: SMALL },
});
const { state, data } = await pointAfter(gpu, spec, (Number(stepsText) * SMALL) / BATCH);
const order = Uint32Array.from({ length: images }, (_, i) => i);
const layout = partitionBatch({ samples: images, batchSize: images, ghostSize: GHOST, policy: "exact" });

/** The gradient of a mean over `images` is BATCH / images times as large; the scale compensates for that. */
const gradientOf = async (of: ModelState, lossScaleOfBatch: number) => {
  const lossScale = (lossScaleOfBatch * images) / BATCH;
  const probe = await GradientProbe.create(of, data, { batchSize: images, ghostSize: GHOST, lossScale });
  return probe.gradient(order);
};
const exact = await gradientOf(state, 1);
console.log(`seed ${seedText}, ${stepsText} steps, loss ${exact.loss.toFixed(3)} over ${images} images`);

const [channels, height, width] = data.imageShape;
const mixed = materialize(gpu, createModel("resnet8", { channels, height, width, classes: data.classes }), {
  ...{ seed: 0, maximumGhosts: layout.ghosts, activations: "f16" },
});
gpu.copy(state.values, mixed.values);
for (const lossScale of [lossScaleOf(BATCH), 1]) {
  const { gradient } = await gradientOf(mixed, lossScale);
  console.log(
    `loss scale ${lossScale}: relative error of the gradient ${relativeError(gradient, exact.gradient)}`,
  );
}
await countFlushed();
gpu.close();

function relativeError(found: Float32Array, expected: Float32Array): string {
  let [error, size] = [0, 0];
  for (const [i, value] of expected.entries()) {
    error += (found[i]! - value) ** 2;
    size += value ** 2;
  }
  return `${(100 * Math.sqrt(error / size)).toFixed(2)} %`;
}

/** Of the nonzero f32 gradients of activations, the share that would be 0 in f16. */
async function countFlushed(): Promise<void> {
  const step = new StepUniform(gpu);
  step.write(IDLE_STEP);
  const log = fromArray(gpu, new Float32Array(8), [1, 8]);
  const tensors = { order: fromArray(gpu, order, [images], "order"), log, step: step.tensor };
  const input = gatherTraining(state, data, tensors, false);
  const scales = [lossScaleOf(BATCH), 1];
  let nonzero = 0;
  const flushed = scales.map(() => 0);
  for (const slab of [...slabs(layout, GHOST)].slice(0, COUNTED)) {
    await gpu.lifetime(async () => {
      const gradients = gradientsOfActivations(() => {
        const { x, labels } = input(slab);
        const tape = new Tape();
        const arriving = noting(tape);
        const mode = {
          kind: "train",
          ghosts: slab,
          firstSample: slab.firstSample,
          step: step.tensor,
        } as const;
        const logits = tape.record(() => state.model.forward(x, mode));
        const weights = { weight: 1 / BATCH, lastWeight: 1 / BATCH, lastStart: slab.total };
        tape.backward(logits, softmaxCrossEntropy(logits, labels, weights).dlogits);
        return arriving;
      });
      for (const tensor of gradients) {
        for (const value of await readFloats(tensor)) {
          if (value === 0) continue;
          nonzero++;
          for (const [i, scale] of scales.entries()) if (Math.abs(value) * scale <= FLUSHED) flushed[i]!++;
        }
      }
    });
  }
  for (const [i, scale] of scales.entries()) {
    const share = ((100 * flushed[i]!) / nonzero).toFixed(2);
    console.log(`loss scale ${scale}: ${share} % of ${nonzero} gradients of activations are flushed to 0`);
  }
}

/** The gradients that mixed precision stores as f16: those with four dimensions. */
function gradientsOfActivations(backward: () => Set<Tensor>): Tensor[] {
  return [...backward()].filter(({ shape }) => shape.length === 4);
}

/** Collects the gradient of each op's output during the backward pass. */
function noting(tape: Tape): Set<Tensor> {
  const arriving = new Set<Tensor>();
  const push = tape.push.bind(tape);
  tape.push = (entry) =>
    push({
      ...entry,
      backward: (dy, ...rest) => {
        arriving.add(dy);
        return entry.backward(dy, ...rest);
      },
    });
  return arriving;
}
