import { ShapeError } from "../support/errors.ts";

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
 * @throws ShapeError when a window is larger than the padded image, or could lie in the padding alone
 */
export function pooledLength(length: number, { kernel, stride, padding = 0 }: PoolOptions): number {
  if (kernel > length + 2 * padding) {
    throw new ShapeError(
      `pooling: a window of ${kernel} is larger than an image of ${length} with padding ${padding}`,
    );
  }
  if (2 * padding > kernel) {
    throw new ShapeError(
      `pooling: padding ${padding} is more than half a window of ${kernel}: windows would be empty`,
    );
  }
  return Math.floor((length + 2 * padding - kernel) / stride) + 1;
}

/** The overrides and sizes of a pooling between x [N, C, H, W] and y [N, C, P, Q]. */
export function poolGeometry(x: readonly number[], y: readonly number[], options: PoolOptions) {
  const { kernel: KERNEL, stride: STRIDE, padding: PADDING = 0 } = options;
  const [H, W] = x.slice(2) as [number, number];
  const [P, Q] = y.slice(2) as [number, number];
  return {
    overrides: { H, W, P, Q, KERNEL, STRIDE, PADDING },
    /** Windows that hold a pixel, at most, on each axis. */
    reach: Math.ceil(KERNEL / STRIDE),
  };
}
