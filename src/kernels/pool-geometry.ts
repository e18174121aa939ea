import { ShapeError } from "../support/errors.ts";
import { dims, expectWhole } from "../tensor/shape.ts";

/** Windows of a pooling: square, with the same stride and padding on both axes. */
export interface PoolOptions {
  /** Height and width of a window, pixels. */
  readonly kernel: number;
  /** Pixels between windows. */
  readonly stride: number;
  /** Pixels around the image, at most half a window; default 0. */
  readonly padding?: number;
}

/**
 * Height or width of the output: ⌊(length + 2·padding − kernel) / stride⌋ + 1.
 * @throws ShapeError when a window is larger than the padded image or could lie in the padding alone, or for a number of pixels
 *   that is not a whole one
 */
export function pooledLength(length: number, { kernel, stride, padding = 0 }: PoolOptions): number {
  expectWhole("pooling: kernel", kernel, 1);
  expectWhole("pooling: stride", stride, 1);
  expectWhole("pooling: padding", padding);
  if (kernel > length + 2 * padding) {
    throw new ShapeError(
      `pooling: a window of ${kernel} is larger than an image of ${length} with padding ${padding}`,
    );
  }
  if (2 * padding > kernel) {
    throw new ShapeError(
      `pooling: padding ${padding} is more than half a window of ${kernel}: some windows would be empty`,
    );
  }
  return Math.floor((length + 2 * padding - kernel) / stride) + 1;
}

/** The overrides of a pooling between x [N, C, H, W] and y [N, C, P, Q]. */
export function poolOverrides(x: readonly number[], y: readonly number[], options: PoolOptions) {
  const { kernel: KERNEL, stride: STRIDE, padding: PADDING = 0 } = options;
  const [, , H, W] = dims("pooling: x", x, 4);
  const [, , P, Q] = dims("pooling: y", y, 4);
  return { H, W, P, Q, KERNEL, STRIDE, PADDING };
}

/** How the pixels of x [N, C, H, W] are divided into blocks, one per lane, whose pixels may be in the same windows. */
export function poolBlocks(x: readonly number[], { kernel, stride, padding = 0 }: PoolOptions) {
  const [N, C, H, W] = dims("pooling: x", x, 4);
  const STEP = stride <= 3 ? stride : 1; // 16 gradients and more in a lane are no gain where windows do not overlap
  const count = N * C * Math.ceil((H + padding) / STEP) * Math.ceil((W + padding) / STEP);
  return { spec: { STEP }, params: { count, reach: Math.ceil(kernel / stride) } };
}
