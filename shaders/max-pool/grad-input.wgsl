// max-pool/grad-input: the gradient of each window goes to the pixel that held its maximum.
//
//   dx[n,c,h,w] = Σ dy[n,c,p,q] over the windows with indices[n,c,p,q] = h·W + w
//
// Each pixel adds up the windows that hold it, in row-major order: no atomics, and the same bits every time. A lane computes a
// block of STEP × STEP pixels, which the same windows may hold, so that it reads each window once for all of them.
// Dispatch: one lane per block, in a grid folded into two dimensions.

override H: u32;            // height and width of x
override W: u32;
override P: u32;            // height and width of y
override Q: u32;
override KERNEL: u32;       // height and width of a window
override STRIDE: u32;       // between windows, on both axes
override PADDING: u32;      // pixels around x, at most KERNEL / 2
override ACCUMULATE: bool;  // dx += instead of dx =
override WG_SIZE: u32 = 64u;
alias Stored = f32;         // @spec  dy and dx in memory: f16 in mixed precision
const STEP: u32 = 2u;       // @spec  height and width of a lane's block: STRIDE, or 1 where STRIDE is large
override REACH: u32 = (KERNEL + STRIDE - 1u) / STRIDE;  // most windows that can hold a pixel, on each axis
override ROWS: u32 = (H + PADDING + STEP - 1u) / STEP;  // blocks in a plane; the first begins in the padding
override COLUMNS: u32 = (W + PADDING + STEP - 1u) / STEP;

struct Params {
  count: u32,  // N · C · ROWS · COLUMNS
  reach: u32,  // REACH as a uniform, so that the loop over it is not unrolled
}

@group(0) @binding(0) var<storage, read> dy: array<Stored>;        // [N, C, P, Q]
@group(0) @binding(1) var<storage, read> indices: array<u32>;      // [N, C, P, Q]
@group(0) @binding(2) var<storage, read_write> dx: array<Stored>;  // [N, C, H, W]
@group(0) @binding(3) var<uniform> params: Params;

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let i = flat_index(wg, grid, local.x, WG_SIZE);
  if (i >= params.count) { return; }
  let plane = i / (ROWS * COLUMNS);
  let row = i / COLUMNS % ROWS;
  let column = i % COLUMNS;
  let top = i32(row * STEP) - i32(PADDING);
  let left = i32(column * STEP) - i32(PADDING);
  // The last window on each axis that may hold a pixel of the block: the same for all its pixels.
  let p_last = i32(row * STEP / STRIDE);
  let q_last = i32(column * STEP / STRIDE);
  var gradients = array<f32, STEP * STEP>();
  for (var back = params.reach; back > 0u; back--) {
    let p = p_last + 1 - i32(back);
    for (var across = REACH; across > 0u; across--) {
      let q = q_last + 1 - i32(across);
      let inside = p >= 0 && p < i32(P) && q >= 0 && q < i32(Q);
      let window = select(0u, (plane * P + u32(p)) * Q + u32(q), inside);
      let gradient = select(0.0, f32(dy[window]), inside);
      let at = i32(indices[window]);
      for (var j = 0u; j < STEP * STEP; j++) {
        let position = (top + i32(j / STEP)) * i32(W) + left + i32(j % STEP);
        gradients[j] += select(0.0, gradient, at == position);
      }
    }
  }
  for (var j = 0u; j < STEP * STEP; j++) {
    let h = top + i32(j / STEP);
    let w = left + i32(j % STEP);
    if (h >= 0 && h < i32(H) && w >= 0 && w < i32(W)) {
      let at = (plane * H + u32(h)) * W + u32(w);
      var gradient = gradients[j];
      if (ACCUMULATE) { gradient += f32(dx[at]); }
      dx[at] = Stored(gradient);
    }
  }
}
