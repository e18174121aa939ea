// Sizes shared by the references of max-pool and avg-pool: no import from the rest of src/.

export interface PoolSize {
  /** Images in the batch. */
  readonly N: number;
  /** Channels. */
  readonly C: number;
  /** Height of the input. */
  readonly H: number;
  /** Width of the input. */
  readonly W: number;
  /** Height and width of the window. */
  readonly kernel: number;
  /** Step between windows, in input pixels, on both axes. */
  readonly stride: number;
  /** Pixels added on each of the four sides of the input. */
  readonly padding: number;
}

/**
 * P = ⌊(H + 2·padding − kernel) / stride⌋ + 1,  Q likewise from W.
 *
 * @throws RangeError when the window is larger than the padded image, or the padding than half the window (a window
 *   could then lie in the padding alone)
 */
export function poolOutputSize({ H, W, kernel, stride, padding }: PoolSize): { P: number; Q: number } {
  if (kernel > H + 2 * padding || kernel > W + 2 * padding || padding > kernel / 2) {
    throw new RangeError(
      `pool: a window of ${kernel} with padding ${padding} does not fit a ${H}x${W} image`,
    );
  }
  return {
    P: Math.floor((H + 2 * padding - kernel) / stride) + 1,
    Q: Math.floor((W + 2 * padding - kernel) / stride) + 1,
  };
}
