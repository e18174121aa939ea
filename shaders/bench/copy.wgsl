// bench/copy: y = x, what memory can do at best: the bandwidth that other kernels are measured against.
//
// Source:   the copy of McCalpin's STREAM benchmark (1995).
// Dispatch: one lane per vec4, folded into x and y.

override WG_SIZE: u32 = 64u;

struct Params {
  count: u32,  // vec4s
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;        // [count]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;  // [count]
@group(0) @binding(2) var<uniform> params: Params;

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flat_index(wg, grid, lane, WG_SIZE);
  if (i < params.count) { y[i] = x[i]; }
}
