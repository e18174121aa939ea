import { defineKernel } from "../gpu/kernel.ts";
import { STREAMS } from "../support/random.ts";
import { dims } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { floatType } from "./element.ts";
import { flatGrid } from "./grid.ts";

const GATHER = defineKernel({
  file: "batch/gather.wgsl",
  bindings: ["images", "labels", "order", "normalization", "x", "batch_labels", "step"],
  overrides: ["N", "C", "H", "W", "PADDING", "FLIP", "STREAM"],
  params: ["first", "pad_value", "first_image", "images_end"],
  spec: ["Stored"],
});

export interface Augmentation {
  /** Pixels on each side before the random crop back to the image's size. */
  readonly padding: number;
  /** Value of the padded pixels, 0 to 255. */
  readonly padValue: number;
  /** Mirror left to right half of the time. */
  readonly flip: boolean;
}

/**
 * A slab of a batch as the network sees it.
 *
 * @param images        [samples, C, H, W] u8, or parts of it one after the other, each small enough to be bound
 * @param labels        [samples] u32
 * @param order         [samples or more] u32: sample at each position of the epoch
 * @param normalization [C, 2]: mean and standard deviation of a byte over 255; a channel of deviation 0 becomes 0
 * @param x             [N, C, H, W], f32 or f16, written
 * @param batchLabels   [N] u32, written
 * @param step          the Step uniform: seed, epoch and the batch's first position are taken from it
 * @param first         the slab's first sample within the batch
 * @param augmentation  null for evaluation
 */
export function launchGather(
  t: {
    images: Tensor | readonly Tensor[];
    labels: Tensor;
    order: Tensor;
    normalization: Tensor;
    x: Tensor;
    batchLabels: Tensor;
    step: Tensor;
  },
  { first, augmentation }: { first: number; augmentation: Augmentation | null },
): void {
  const [N, C, H, W] = dims("gather: x", t.x.shape, 4);
  const { padding, padValue, flip } = augmentation ?? { padding: 0, padValue: 0, flip: false };
  const parts = Array.isArray(t.images) ? (t.images as readonly Tensor[]) : [t.images as Tensor];
  let firstImage = 0;
  for (const images of parts) {
    const end = firstImage + images.shape[0]!;
    t.x.gpu.run(GATHER, {
      buffers: {
        images,
        labels: t.labels,
        order: t.order,
        normalization: t.normalization,
        x: t.x,
        batch_labels: t.batchLabels,
        step: t.step,
      },
      overrides: { N, C, H, W, PADDING: padding, FLIP: flip, STREAM: STREAMS.augmentation },
      params: { first, pad_value: padValue, first_image: firstImage, images_end: end },
      spec: { Stored: floatType("gather", { x: t.x }) },
      workgroups: flatGrid(N * C * H * Math.ceil(W / 4)), // a lane has four columns
      cost: { flops: (2 * t.x.size) / parts.length, bytes: (t.x.size + t.x.byteLength) / parts.length },
    });
    firstImage = end;
  }
}
