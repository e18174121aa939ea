// Float64 reference of conv2d: plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

export interface Conv2dSize {
  /** Images in the batch. */
  readonly N: number;
  /** Input channels. */
  readonly C: number;
  /** Height of the input. */
  readonly H: number;
  /** Width of the input. */
  readonly W: number;
  /** Output channels. */
  readonly K: number;
  /** Height of the filter. */
  readonly R: number;
  /** Width of the filter. */
  readonly S: number;
  /** Step between output pixels, in input pixels, on both axes. */
  readonly stride: number;
  /** Zeros on each of the four sides of the input. */
  readonly padding: number;
}

/**
 * P = ⌊(H + 2·padding − R) / stride⌋ + 1,  Q = ⌊(W + 2·padding − S) / stride⌋ + 1
 *
 * @throws RangeError when the filter is larger than the padded image
 */
export function conv2dOutputSize({ H, W, R, S, stride, padding }: Conv2dSize): { P: number; Q: number } {
  if (R > H + 2 * padding || S > W + 2 * padding) {
    throw new RangeError(`conv2d: a ${R}x${S} filter is larger than a ${H}x${W} image padded by ${padding}`);
  }
  return {
    P: Math.floor((H + 2 * padding - R) / stride) + 1,
    Q: Math.floor((W + 2 * padding - S) / stride) + 1,
  };
}

/**
 * y[n, k, p, q] = Σ_{c, r, s} x[n, c, p·stride − padding + r, q·stride − padding + s] · weight[k, c, r, s] + bias[k],
 * where x is 0 outside the image.
 *
 * @param x       [N, C, H, W]
 * @param weight  [K, C, R, S]
 * @param bias    [K], optional
 * @returns y [N, K, P, Q]
 * @throws RangeError when the filter is larger than the padded image
 */
export function conv2d(
  { x, weight, bias }: { x: Values; weight: Values; bias?: Values },
  size: Conv2dSize,
): Float64Array {
  const { N, C, K, R, S, stride } = size;
  const { P, Q } = conv2dOutputSize(size);
  const { padded, height, width } = pad(x, size);
  const y = new Float64Array(N * K * P * Q);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) {
      for (let p = 0; p < P; p++) {
        for (let q = 0; q < Q; q++) {
          let sum = bias ? bias[k] : 0;
          for (let c = 0; c < C; c++) {
            for (let r = 0; r < R; r++) {
              const atX = ((n * C + c) * height + p * stride + r) * width + q * stride;
              const atWeight = ((k * C + c) * R + r) * S;
              for (let s = 0; s < S; s++) sum += padded[atX + s] * weight[atWeight + s];
            }
          }
          y[((n * K + k) * P + p) * Q + q] = sum;
        }
      }
    }
  }
  return y;
}

/**
 * dx[n, c, h, w] = Σ dy[n, k, p, q] · weight[k, c, r, s] over all k and all (p, r), (q, s) with
 * h = p·stride − padding + r and w = q·stride − padding + s.
 *
 * @param weight  [K, C, R, S]
 * @param dy      [N, K, P, Q]
 * @returns dx [N, C, H, W]
 */
export function conv2dInputGradient(
  { weight, dy }: { weight: Values; dy: Values },
  size: Conv2dSize,
): Float64Array {
  const { N, C, H, W, K, R, S, stride, padding } = size;
  const { P, Q } = conv2dOutputSize(size);
  const height = H + 2 * padding;
  const width = W + 2 * padding;
  const padded = new Float64Array(N * C * height * width);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) {
      for (let p = 0; p < P; p++) {
        for (let q = 0; q < Q; q++) {
          const incoming = dy[((n * K + k) * P + p) * Q + q];
          for (let c = 0; c < C; c++) {
            for (let r = 0; r < R; r++) {
              const atX = ((n * C + c) * height + p * stride + r) * width + q * stride;
              const atWeight = ((k * C + c) * R + r) * S;
              for (let s = 0; s < S; s++) padded[atX + s] += incoming * weight[atWeight + s];
            }
          }
        }
      }
    }
  }
  const dx = new Float64Array(N * C * H * W);
  for (let plane = 0; plane < N * C; plane++) {
    for (let h = 0; h < H; h++) {
      for (let w = 0; w < W; w++) {
        dx[(plane * H + h) * W + w] = padded[(plane * height + h + padding) * width + w + padding];
      }
    }
  }
  return dx;
}

/**
 * dweight[k, c, r, s] = Σ_{n, p, q} dy[n, k, p, q] · x[n, c, p·stride − padding + r, q·stride − padding + s]
 *
 * @param x   [N, C, H, W]
 * @param dy  [N, K, P, Q]
 * @returns dweight [K, C, R, S]
 */
export function conv2dWeightGradient({ x, dy }: { x: Values; dy: Values }, size: Conv2dSize): Float64Array {
  const { N, C, K, R, S, stride } = size;
  const { P, Q } = conv2dOutputSize(size);
  const { padded, height, width } = pad(x, size);
  const dweight = new Float64Array(K * C * R * S);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) {
      for (let p = 0; p < P; p++) {
        for (let q = 0; q < Q; q++) {
          const incoming = dy[((n * K + k) * P + p) * Q + q];
          for (let c = 0; c < C; c++) {
            for (let r = 0; r < R; r++) {
              const atX = ((n * C + c) * height + p * stride + r) * width + q * stride;
              const atWeight = ((k * C + c) * R + r) * S;
              for (let s = 0; s < S; s++) dweight[atWeight + s] += incoming * padded[atX + s];
            }
          }
        }
      }
    }
  }
  return dweight;
}

/**
 * dbias[k] = Σ_{n, p, q} dy[n, k, p, q]
 *
 * @param dy  [N, K, P, Q]
 * @returns dbias [K]
 */
export function conv2dBiasGradient(dy: Values, size: Conv2dSize): Float64Array {
  const { N, K } = size;
  const { P, Q } = conv2dOutputSize(size);
  const dbias = new Float64Array(K);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) for (let i = 0; i < P * Q; i++) dbias[k] += dy[(n * K + k) * P * Q + i];
  }
  return dbias;
}

/** x [N, C, H, W] with its zeros around: [N, C, height, width]. */
function pad(
  x: Values,
  { N, C, H, W, padding }: Conv2dSize,
): { padded: Float64Array; height: number; width: number } {
  const height = H + 2 * padding;
  const width = W + 2 * padding;
  const padded = new Float64Array(N * C * height * width);
  for (let plane = 0; plane < N * C; plane++) {
    for (let h = 0; h < H; h++) {
      for (let w = 0; w < W; w++) {
        padded[(plane * height + h + padding) * width + w + padding] = x[(plane * H + h) * W + w];
      }
    }
  }
  return { padded, height, width };
}
