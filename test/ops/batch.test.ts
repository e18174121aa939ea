// Gather and augmentation on the GPU against float64, and the same bits for any slabs.

import { beforeAll, expect, test } from "vitest";
import { type BatchCase, batchCases } from "../../src/cases/batch.ts";
import { caseLabel } from "../../src/cases/label.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchGather } from "../../src/kernels/batch.ts";
import { drawCrop, batch as reference } from "../../src/reference/batch.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { STREAMS } from "../../src/support/random.ts";
import { empty, fromArray, readFloats, readTensor } from "../../src/tensor/tensor.ts";
import { IDLE_STEP, StepUniform } from "../../src/train/step-uniform.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";
import { expectEqualBits, isAffordable, poisonAllocations } from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

const cases = batchCases.filter((one) => isAffordable(one, { bytes: 4 * one.N * one.C * one.H * one.W }));
const SEED = 0xfedcba98; // above 2³¹: a seed may be any 32-bit number
const EPOCH = 7;
/** Position of the batch in the epoch's order. */
const FIRST = 5;

test.each(cases.map((one) => [caseLabel(one), one] as const))("%s", async (label, one) => {
  const { N, C, H, W, padding, flip = false } = one;
  const { host, gather } = prepared(one);
  const shape = [N, C, H, W];

  const order = host.order.subarray(FIRST, FIRST + N);
  const labels = Uint32Array.from(order, (sample) => host.labels[sample]!);
  const crops = [...order].map((sample) => {
    const crop = drawCrop({ seed: SEED, stream: STREAMS.augmentation, epoch: EPOCH, sample }, padding);
    return { ...crop, flip: flip && crop.flip };
  });
  const plain = await gather([[0, N]], false);
  const augmented = await gather([[0, N]], true);
  const expectImages = (actual: Float32Array, expected: Float64Array, what: string) => {
    // A division by 255, a difference, a division: each within 2.5 units in the last place (WGSL).
    const bound = roundingBound({
      terms: 1,
      factor: 8,
      scale: largest(expected) + largest(one.mean) / Math.min(...one.deviation.filter((d) => d > 0)),
    });
    expectClose(actual, expected, { bound, label: `${label} ${what}`, shape });
  };
  for (const c of one.deviation.keys()) {
    if (one.deviation[c] !== 0) continue;
    const constant = [...augmented.x, ...plain.x].filter(
      (_, i) => Math.floor(i / (one.H * one.W)) % one.C === c,
    );
    expect(new Set(constant), `${label}: channel ${c} of deviation 0`).toEqual(new Set([0]));
  }
  expectImages(plain.x, reference({ images: host.images, order }, one), "as they are");
  expectImages(augmented.x, reference({ images: host.images, order, crops }, one), "augmented");
  expectEqualBits(plain.labels, labels, `${label} labels`);
  expectEqualBits(augmented.labels, labels, `${label} labels of augmented images`);

  // In uneven parts, the first of one image.
  const third = Math.ceil(N / 3);
  const parts: [number, number][] = [
    [0, 1],
    [1, third],
    [third, N],
  ].filter(([from, to]) => to! > from!) as [number, number][];
  const cut = await gather(parts, true);
  expectEqualBits(cut.x, augmented.x, `${label} in slabs`);
  expectEqualBits(cut.labels, labels, `${label} labels in slabs`);
});

/** A data set, an order with repetitions, and a batch from it in slabs of samples [from, to). */
function prepared({ count, N, C, H, W, padding, padValue, flip = false, mean, deviation }: BatchCase) {
  const data = randomData(count * 100 + N);
  const host = {
    images: data.bytes(count * C * H * W),
    labels: Uint32Array.from(data.integers(count, 1000)),
    order: Uint32Array.from(data.integers(FIRST + N + 3, count)),
  };
  const split = {
    images: fromArray(gpu, host.images, [count, C, H, W]),
    labels: fromArray(gpu, host.labels),
    order: fromArray(gpu, host.order),
  };
  const normalization = fromArray(gpu, new Float32Array(mean.flatMap((value, c) => [value, deviation[c]!])), [
    C,
    2,
  ]);
  const step = new StepUniform(gpu);
  step.write({ ...IDLE_STEP, seed: SEED, epoch: EPOCH, firstSample: FIRST });
  const gather = async (parts: readonly [number, number][], augment: boolean) => {
    const x = new Float32Array(N * C * H * W);
    const labels = new Uint32Array(N);
    for (const [from, to] of parts) {
      const slab = { x: empty(gpu, [to - from, C, H, W]), batchLabels: empty(gpu, [to - from], "u32") };
      const augmentation = augment ? { padding, padValue, flip } : null;
      launchGather({ ...split, ...slab, normalization, step: step.tensor }, { first: from, augmentation });
      x.set(await readFloats(slab.x), from * C * H * W);
      labels.set(await readTensor(slab.batchLabels), from);
    }
    return { x, labels };
  };
  return { host, gather };
}
