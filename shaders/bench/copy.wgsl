// bench/copy: y = x, the fastest that memory can go: other kernels' bandwidth is compared with it.
//
// Source:   the copy of McCalpin's STREAM benchmark (1995).
// Dispatch: one workgroup per WG_SIZE · ROW vec4s, in a grid folded into two dimensions.

const WG_SIZE: u32 = 64u;  // @spec  lanes
const ROW: u32 = 1u;       // @spec  vec4s per lane

struct Params {
  count: u32,  // vec4s
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;        // [count]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [count]
@group(0) @binding(2) var<uniform> params: Params;

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let first = flat_index(wg, grid, 0u, WG_SIZE * ROW) + local.x;
  for (var j = 0u; j < ROW; j++) {
    let i = first + j * WG_SIZE;
    if (i < params.count) { y[i] = x[i]; }
  }
}
