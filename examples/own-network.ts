/**
 * Your own network, trained on MNIST: batches of 512 in ghosts of 64, with the square-root learning-rate rule.
 * In a checkout: `npx tsx examples/own-network.ts`, or on the software GPU that `npm run setup` installs,
 * `.software-gpu/bin/node --import tsx examples/own-network.ts`. An argument names another data set of 28 × 28 grayscale images.
 */
import {
  type BaseRegime,
  Conv2d,
  flatten,
  GhostBatchNorm,
  Linear,
  MaxPool2d,
  type Mode,
  Module,
  materialize,
  planEpoch,
  planRegime,
  type Tensor,
  Trainer,
  uploadDataset,
} from "ghostbatch";
import { loadDataset, openGpu } from "ghostbatch/node";

class SmallNetwork extends Module {
  conv = new Conv2d(1, 8, { kernel: 5, stride: 2, padding: 2 });
  norm = new GhostBatchNorm(8);
  pool = new MaxPool2d({ kernel: 2, stride: 2 });
  classifier = new Linear(8 * 7 * 7, 10, { logits: true });

  forward(x: Tensor, mode: Mode): Tensor {
    const h = this.norm.forward(this.conv.forward(x), mode, { relu: true }); // [N, 8, 14, 14]
    return this.classifier.forward(flatten(this.pool.forward(h)));
  }
}

const base: BaseRegime = {
  name: "own",
  batchSize: 64,
  epochs: 4,
  entries: [
    { epoch: 0, learningRate: 0.05, momentum: 0.9, weightDecay: 1e-4 },
    { epoch: 3, learningRate: 0.005 },
  ],
};

const gpu = await openGpu();
const dataset = await loadDataset(process.argv[2] ?? "mnist");
const batchSize = 512;
const epoch = planEpoch({
  ...{ samples: dataset.train.count, batchSize, ghostSize: 64, policy: "exact" },
  pixels: 14 * 14, // values per channel and sample, in the norm with the fewest
});
const { stepsPerEpoch } = epoch;
const regime = planRegime({ base, batchSize, referenceBatchSize: 64, stepsPerEpoch, rule: "sqrt" });
const state = materialize(gpu, new SmallNetwork(), { seed: 1, maximumGhosts: epoch.maximumGhosts });
const trainer = await Trainer.create(gpu, state, uploadDataset(gpu, dataset), {
  ...{ regime, epoch, partial: "exact", running: { rule: "mean", momentum: 0.1 } },
  ...{ seed: 1, clipNorm: 0, augmentation: false, evaluateEvery: 1, evaluationBatch: 500, logEvery: 50 },
  memoryBytes: 2 ** 29,
});
for await (const event of trainer.run()) {
  if (event.kind !== "evaluation") continue;
  console.log(`epoch ${event.epoch}: ${event.accuracy.toFixed(2)} % of the test images are right`);
}
process.exit();
