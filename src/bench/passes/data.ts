import { type BatchCase, batchCases } from "../../cases/batch.ts";
import { dropoutCases } from "../../cases/dropout.ts";
import { caseLabel } from "../../cases/label.ts";
import { launchGather } from "../../kernels/batch.ts";
import { launchDropout } from "../../kernels/dropout.ts";
import { launchNormal, launchUniform } from "../../kernels/random.ts";
import { batch, drawCrop } from "../../reference/batch.ts";
import { largest, roundingBound } from "../../reference/close.ts";
import { dropout } from "../../reference/dropout.ts";
import { normalsFromWords, pcg4d, uniformFromWord } from "../../reference/random.ts";
import { randomData } from "../../reference/random-data.ts";
import { STREAMS } from "../../support/random.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { fromArray } from "../../tensor/tensor.ts";
import {
  activation,
  EITHER_TYPE,
  exact,
  numbers,
  type Pass,
  passOf,
  poisoned,
  poisonedWords,
  summed,
} from "../pass.ts";
import { stepUniform } from "./step.ts";

const SEED = 12345;
const KEY = { seed: SEED, stream: STREAMS.init, tensor: 3 };
const SIZES = [{ size: 1 }, { size: 257 }, { size: 10_007 }, { size: 1_462_794, network: "f1", paper: true }];
const drawn = {
  label: caseLabel,
  cost: ({ size }: { size: number }) => ({ flops: 500 * size, bytes: 4 * size }),
};

export const dataPasses: readonly Pass[] = [
  passOf("batch/gather", batchCases, {
    label: ({ mean, deviation, ...one }: BatchCase) => caseLabel(one),
    cost: ({ N, C, H, W }) => ({ flops: 2 * N * C * H * W, bytes: 5 * N * C * H * W }),
    types: EITHER_TYPE,
    prepare: (gpu, one, type) => {
      const { count, N, C, H, W, padding, padValue, flip = false, mean, deviation } = one;
      const data = randomData(count * 100 + N);
      const host = {
        images: data.bytes(count * C * H * W),
        labels: Uint32Array.from(data.integers(count, 1000)),
        order: Uint32Array.from(data.integers(N, count)),
      };
      const pairs = new Float32Array(mean.flatMap((value, c) => [value, deviation[c]!]));
      const step = stepUniform(gpu, { seed: SEED, epoch: 7 });
      const tensors = {
        images: fromArray(gpu, host.images, [count, C, H, W], "images"),
        labels: fromArray(gpu, host.labels, [count], "labels"),
        order: fromArray(gpu, host.order, [N], "order"),
        normalization: fromArray(gpu, pairs, [C, 2], "normalization"),
        x: poisoned(gpu, [N, C, H, W], "x", type),
        batchLabels: poisonedWords(gpu, [N], "batch_labels"),
        step,
      };
      const reference = () => {
        const crops = [...host.order].map((sample) => {
          const crop = drawCrop({ seed: SEED, stream: STREAMS.augmentation, epoch: 7, sample }, padding);
          return { ...crop, flip: flip && crop.flip };
        });
        return batch({ images: host.images, order: host.order, crops }, one);
      };
      return {
        launch: () => launchGather(tensors, { first: 0, augmentation: { padding, padValue, flip } }),
        outputs: [
          {
            name: "x",
            tensor: tensors.x,
            reference,
            bound: (values) => {
              const scale = largest(values) + largest(mean) / Math.min(...deviation.filter((d) => d > 0));
              return roundingBound({ terms: 1, factor: 8, scale });
            },
          },
          exact("batch_labels", tensors.batchLabels, () =>
            [...host.order].map((sample) => host.labels[sample]!),
          ),
        ],
      };
    },
  }),
  passOf("dropout/apply", dropoutCases, {
    label: caseLabel,
    cost: ({ shape }) => ({ flops: 100 * sizeOf(shape), bytes: 8 * sizeOf(shape) }),
    types: EITHER_TYPE,
    prepare: (gpu, { shape, p }, type) => {
      const size = sizeOf(shape);
      const host = numbers(size)(size);
      const x = activation(gpu, host, shape, "x", type);
      const y = poisoned(gpu, shape, "y", type);
      const step = stepUniform(gpu, { seed: SEED, step: 9 });
      const stream = STREAMS.dropout + 256 * 2;
      const reference = () => {
        const mask = new Uint8Array(size);
        for (let draw = 0; 4 * draw < size; draw++) {
          const words = pcg4d([SEED, stream, 9, draw]);
          for (const [j, word] of words.entries()) mask[4 * draw + j] = uniformFromWord(word) >= p ? 1 : 0;
        }
        return dropout({ x: host, mask }, { p });
      };
      return {
        launch: () => launchDropout({ x, y, step }, { probability: p, layer: 2, firstSample: 0 }),
        outputs: [summed("y", y, 1, reference)],
      };
    },
  }),
  passOf("random/uniform", SIZES, {
    ...drawn,
    prepare: (gpu, { size }) => {
      const x = poisoned(gpu, [size], "x");
      const word = (i: number) => pcg4d([KEY.seed, KEY.stream, KEY.tensor, i])[0];
      return {
        launch: () => launchUniform(x, KEY, { low: 0, high: 1 }),
        outputs: [
          exact("x", x, () => Float64Array.from({ length: size }, (_, i) => uniformFromWord(word(i)))),
        ],
      };
    },
  }),
  passOf("random/normal", SIZES, {
    ...drawn,
    prepare: (gpu, { size }) => {
      const x = poisoned(gpu, [size], "x");
      const reference = () =>
        Float64Array.from({ length: size }, (_, i) => {
          const [first, second] = pcg4d([KEY.seed, KEY.stream, KEY.tensor, i]);
          return normalsFromWords(first, second)[0];
        });
      // WGSL: cos errs by up to 2⁻¹¹ in absolute terms; the radius is at most √(2 · 24 · ln 2) = 5.8.
      const bound = 6 * 2 ** -11;
      return {
        launch: () => launchNormal(x, KEY, { mean: 0, deviation: 1 }),
        outputs: [{ name: "x", tensor: x, reference, bound: () => bound }],
      };
    },
  }),
];
