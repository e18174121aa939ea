/** Launchers of conv2d: forward and the gradient of its input. The weight's gradient is in conv2d-grad-weight.ts. */
import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Conv2dGeometry, type Conv2dOptions, conv2dBytes, conv2dFlops, conv2dGeometry } from "./conv2d-geometry.ts";
import { flatGrid } from "./grid.ts";

const TILED = defineKernel({
  file: "conv2d/forward.wgsl",
  bindings: ["x", "weight", "y"],
  overrides: ["C", "H", "W", "K", "P", "Q", "R", "S", "STRIDE", "PADDING", "TRANSPOSED", "ACCUMULATE"],
  params: ["images", "filter_rows", "filter_columns", "channels", "depth"],
  spec: ["TM", "TN", "THREADS_M", "THREADS_N", "DEPTH"],
});

/**
 * y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·stride + r − padding, q·stride + s − padding] · weight[k,c,r,s], x outside its border 0.
 *
 * @param x       [N, C, H, W]
 * @param weight  [K, C, R, S]
 * @param y       [N, K, P, Q], written
 */
export function launchConv2d(tensors: { x: Tensor; weight: Tensor; y: Tensor }, options: Conv2dOptions): void {
  const geometry = conv2dGeometry(tensors.x.shape, tensors.weight.shape, options);
  const { N, C, H, W, K, P, Q } = geometry;
  launchGather(tensors, geometry, { N, C, H, W, K, P, Q }, { transposed: false, accumulate: false });
}

/**
 * dx[n,c,h,w] = Σ dy[n,k,p,q] · weight[k,c,r,s] over all k and all (p, r), (q, s) with h = p·stride + r − padding and
 * w = q·stride + s − padding.
 *
 * @param dy          [N, K, P, Q]
 * @param weight      [K, C, R, S]
 * @param dx          [N, C, H, W], written, or added to
 * @param accumulate  add to what dx holds
 */
export function launchConv2dGradInput(
  { dy, weight, dx }: { dy: Tensor; weight: Tensor; dx: Tensor },
  { accumulate = false, ...options }: Conv2dOptions & { accumulate?: boolean },
): void {
  const geometry = conv2dGeometry(dx.shape, weight.shape, options);
  const { N, C, H, W, K, P, Q } = geometry;
  const exchanged = { N, C: K, H: P, W: Q, K: C, P: H, Q: W };
  launchGather({ x: dy, weight, y: dx }, geometry, exchanged, { transposed: true, accumulate });
}

/** What one pass reads (C, H, W) and writes (K, P, Q): the other way round in the gradient of the input. */
type PassSizes = Pick<Conv2dGeometry, "N" | "C" | "H" | "W" | "K" | "P" | "Q">;

function launchGather(
  buffers: { x: Tensor; weight: Tensor; y: Tensor },
  geometry: Conv2dGeometry,
  { N, C, H, W, K, P, Q }: PassSizes,
  { transposed, accumulate }: { transposed: boolean; accumulate: boolean },
): void {
  const { R, S, stride, padding } = geometry;
  const spec = tile(K);
  const step = transposed ? stride : 1;
  const pixels = N * Math.ceil(P / step) * Math.ceil(Q / step);
  const channelTiles = Math.ceil(K / (spec.TM * spec.THREADS_M));
  buffers.y.gpu.run(TILED, {
    buffers,
    overrides: { C, H, W, K, P, Q, R, S, STRIDE: stride, PADDING: padding, TRANSPOSED: transposed, ACCUMULATE: accumulate },
    params: { images: N, filter_rows: R, filter_columns: S, channels: C, depth: spec.DEPTH },
    spec,
    workgroups: [channelTiles * step * step, ...flatGrid(Math.ceil(pixels / (spec.TN * spec.THREADS_N)), 1)],
    cost: { flops: conv2dFlops(geometry), bytes: conv2dBytes(geometry) + (accumulate ? buffers.y.byteLength : 0) },
  });
}

/** The tile for K output channels: 128 threads of 8 channels × 4 pixels each, as narrow in channels as K allows. */
function tile(K: number) {
  const [THREADS_M, THREADS_N] = K <= 16 ? [2, 64] : K <= 32 ? [4, 32] : [8, 16];
  return { TM: 8, TN: 4, THREADS_M, THREADS_N, DEPTH: 8 };
}
