// global-avg-pool/forward: the mean of each plane.
//
//   y[n,c] = 1/HW · Σ_p x[n,c,p]
//
// A lane reads a whole plane: planes are small here (64 pixels in a residual network), and lanes need not exchange anything.
// Dispatch: one lane per value of y, in a grid folded into two dimensions.

override WG_SIZE: u32 = 64u;
alias Element = vec4f;  // @spec  f32 where HW is not a multiple of 4
alias Stored = vec4f;   // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;  // @spec  values in an Element

struct Params {
  count: u32,   // N · C
  pixels: u32,  // Elements in a plane
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;     // [N, C, HW]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [N, C]
@group(0) @binding(2) var<uniform> params: Params;

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let i = flat_index(wg, grid, local.x, WG_SIZE);
  if (i >= params.count) { return; }
  var sum = Element();
  for (var p = 0u; p < params.pixels; p++) {
    sum += Element(x[i * params.pixels + p]);
  }
  // vec4() of a scalar Element makes four copies, so each counts a quarter.
  y[i] = dot(vec4f(sum), vec4f(f32(WIDTH) / 4.0)) / f32(params.pixels * WIDTH);
}
