// avg-pool/grad-input: each window's gradient is shared out among its pixels.
//
//   dx[n,c,h,w] = 1/KERNEL² · Σ dy[n,c,p,q] over the windows that hold (h, w)
//
// Each pixel collects from the windows that hold it, in row-major order: no atomics, the same bits every time.
// Dispatch: one lane per value of dx, folded into x and y.

override H: u32;              // height and width of x
override W: u32;
override P: u32;              // height and width of y
override Q: u32;
override KERNEL: u32;         // height and width of a window
override STRIDE: u32;         // between windows, on both axes
override PADDING: u32;        // pixels around x, at most KERNEL / 2
override ACCUMULATE: bool;    // dx += instead of dx =
override REACH: u32 = (KERNEL + STRIDE - 1u) / STRIDE;  // windows that hold a pixel, at most, on each axis
override WG_SIZE: u32 = 64u;

struct Params {
  count: u32,  // N · C · H · W
  rows: u32,   // REACH once more: the bound of a loop that is better not unrolled
}

@group(0) @binding(0) var<storage, read> dy: array<f32>;        // [N, C, P, Q]
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;  // [N, C, H, W]
@group(0) @binding(2) var<uniform> params: Params;

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flat_index(wg, grid, lane, WG_SIZE);
  if (i >= params.count) { return; }
  let plane = i / (H * W);
  let h = i / W % H;
  let w = i % W;
  // The last windows that may hold (h, w), on either axis.
  let p_last = i32((h + PADDING) / STRIDE);
  let q_last = i32((w + PADDING) / STRIDE);
  var gradient = 0.0;
  for (var back = params.rows; back > 0u; back--) {
    let p = p_last + 1 - i32(back);
    if (p < 0 || p >= i32(P) || u32(p) * STRIDE + KERNEL <= h + PADDING) { continue; }
    for (var across = REACH; across > 0u; across--) {
      let q = q_last + 1 - i32(across);
      if (q < 0 || q >= i32(Q) || u32(q) * STRIDE + KERNEL <= w + PADDING) { continue; }
      let window = (plane * P + u32(p)) * Q + u32(q);
      gradient += dy[window];
    }
  }
  gradient /= f32(KERNEL * KERNEL);
  if (ACCUMULATE) { gradient += dx[i]; }
  dx[i] = gradient;
}
