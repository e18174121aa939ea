// elementwise/add: y = a + b.
//
// Dispatch: one lane per element, folded into x and y.

override SIZE: u32;
override WG_SIZE: u32 = 64u;

@group(0) @binding(0) var<storage, read> a: array<f32>;        // [SIZE]
@group(0) @binding(1) var<storage, read> b: array<f32>;        // [SIZE]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [SIZE]

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flat_index(wg, count, lane, WG_SIZE);
  if (i < SIZE) { y[i] = a[i] + b[i]; }
}
