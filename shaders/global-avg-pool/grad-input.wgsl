// global-avg-pool/grad-input: each plane's gradient, divided equally among its pixels.
//
//   dx[n,c,p] = dy[n,c] / HW
//
// Dispatch: one lane per Element of dx, in a grid folded into two dimensions.

override ACCUMULATE: bool;  // dx += instead of dx =
override WG_SIZE: u32 = 64u;
alias Element = vec4f;      // @spec  f32 where HW is not a multiple of 4
alias Stored = vec4f;       // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;      // @spec  values in an Element

struct Params {
  count: u32,   // Elements of dx
  pixels: u32,  // Elements in a plane
}

@group(0) @binding(0) var<storage, read> dy: array<f32>;           // [N, C]
@group(0) @binding(1) var<storage, read_write> dx: array<Stored>;  // [N, C, HW]
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
  var gradient = Element(dy[i / params.pixels] / f32(params.pixels * WIDTH));
  if (ACCUMULATE) { gradient += Element(dx[i]); }
  dx[i] = Stored(gradient);
}
