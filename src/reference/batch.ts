// Float64 reference of batch (gather, pad, crop, flip, normalise): plain loops, no import from the rest of src/.

import { pcg4d } from "./random.ts";

export interface BatchOptions {
  /** Channels. */
  readonly C: number;
  /** Height of an image and of its crop. */
  readonly H: number;
  /** Width of an image and of its crop. */
  readonly W: number;
  /** Pixels added on each of the four sides before the crop. */
  readonly padding: number;
  /** Value of the padded pixels: 0 for MNIST, 127 (grey) for CIFAR. */
  readonly padValue: number;
  /** Mean per channel, of pixels scaled to [0, 1]. */
  readonly mean: readonly number[];
  /** Standard deviation per channel, of pixels scaled to [0, 1]. */
  readonly deviation: readonly number[];
}

/** How one sample is cropped and mirrored. */
export interface Crop {
  /** Rows between the upper edges of the padded image and the crop, 0 … 2·padding. */
  readonly top: number;
  /** Columns between the left edges, 0 … 2·padding. */
  readonly left: number;
  /** Mirrored left to right. */
  readonly flip: boolean;
}

/**
 * Takes the images listed in `order`, pads them, cuts an H×W crop, mirrors it if asked to, and normalises it:
 *
 *   y[n, c, h, w] = (byte / 255 − mean[c]) / deviation[c]
 *   byte = images[order[n], c, h + top − padding, w' + left − padding],  w' = flip ? W − 1 − w : w
 *
 * and byte = padValue outside the image; a channel of deviation 0 is 0 everywhere. (Hoffer et al. 2017, released code: pad, random crop, then flip.)
 *
 * @param images  [count, C, H, W] bytes
 * @param order   [N] indices into images
 * @param crops   [N]; if omitted, images are used unchanged, as in evaluation
 * @returns y [N, C, H, W]
 */
export function batch(
  t: { images: Uint8Array; order: ArrayLike<number>; crops?: readonly Crop[] },
  { C, H, W, padding, padValue, mean, deviation }: BatchOptions,
): Float64Array {
  const N = t.order.length;
  const y = new Float64Array(N * C * H * W);
  for (let n = 0; n < N; n++) {
    const { top, left, flip } = t.crops ? t.crops[n] : { top: padding, left: padding, flip: false };
    for (let c = 0; c < C; c++) {
      for (let h = 0; h < H; h++) {
        for (let w = 0; w < W; w++) {
          const row = h + top - padding;
          const column = (flip ? W - 1 - w : w) + left - padding;
          const inside = row >= 0 && row < H && column >= 0 && column < W;
          const byte = inside ? t.images[((t.order[n] * C + c) * H + row) * W + column] : padValue;
          const distance = byte / 255 - mean[c];
          y[((n * C + c) * H + h) * W + w] = deviation[c] === 0 ? 0 : distance / deviation[c];
        }
      }
    }
  }
  return y;
}

/**
 * The crop that sample `sample` of the data set gets in epoch `epoch`: with the words x, y, z of
 * pcg4d(seed, stream, epoch, sample), top = x mod (2·padding + 1), left = y mod (2·padding + 1), flip = top bit of z.
 */
export function drawCrop(
  { seed, stream, epoch, sample }: { seed: number; stream: number; epoch: number; sample: number },
  padding: number,
): Crop {
  const [x, y, z] = pcg4d([seed, stream, epoch, sample]);
  return { top: x % (2 * padding + 1), left: y % (2 * padding + 1), flip: z >= 2 ** 31 };
}
