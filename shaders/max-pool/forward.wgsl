// max-pool/forward: the largest value of each window, and its index.
//
//   y[n,c,p,q] = max x[n, c, p·stride − padding + r, q·stride − padding + s]      r, s ∈ [0, KERNEL)
//   indices[n,c,p,q] = h·W + w of that value; if several are equal, the first in row-major order
//
// Positions outside x are ignored. NaN counts as larger than any number, as in PyTorch; if there are several, the last in
// row-major order is taken.
// Dispatch: one lane per value of y, in a grid folded into two dimensions.

override H: u32;        // height and width of x
override W: u32;
override P: u32;        // height and width of y
override Q: u32;
override KERNEL: u32;   // height and width of a window
override STRIDE: u32;   // between windows, on both axes
override PADDING: u32;  // pixels around x, at most KERNEL / 2
override WG_SIZE: u32 = 64u;
alias Stored = f32;     // @spec  x and y in memory: f16 in mixed precision

struct Params {
  count: u32,  // N · C · P · Q
  rows: u32,   // KERNEL as a uniform, so that the loop over it is not unrolled
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;           // [N, C, H, W]
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;     // [N, C, P, Q]
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;  // [N, C, P, Q]
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
  let plane = i / (P * Q);
  let top = i32(i / Q % P * STRIDE) - i32(PADDING);
  let left = i32(i % Q * STRIDE) - i32(PADDING);
  var best = 0.0;
  var at = H * W;  // none yet
  for (var r = 0u; r < params.rows; r++) {
    let h = top + i32(r);
    for (var s = 0u; s < KERNEL; s++) {
      let w = left + i32(s);
      if (h < 0 || h >= i32(H) || w < 0 || w >= i32(W)) { continue; }
      let position = u32(h) * W + u32(w);
      let value = f32(x[plane * H * W + position]);
      if (at == H * W || value > best || is_nan(value)) {
        best = value;
        at = position;
      }
    }
  }
  y[i] = Stored(best);
  indices[i] = at;
}

// Tests the bits: a compiler that assumes finite arithmetic may replace x != x by false.
fn is_nan(value: f32) -> bool {
  return (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
}
