// elementwise/relu-grad: dx = dy where y > 0, else 0; y is forward's output.
//
// Dispatch: one lane per element, folded into x and y.

override SIZE: u32;
override ACCUMULATE: bool;     // dx += instead of dx =
override WG_SIZE: u32 = 64u;

@group(0) @binding(0) var<storage, read> y: array<f32>;         // [SIZE]
@group(0) @binding(1) var<storage, read> dy: array<f32>;        // [SIZE]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [SIZE]

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = flat_index(wg, count, lane, WG_SIZE);
  if (i >= SIZE) { return; }
  var gradient = select(0.0, dy[i], y[i] > 0.0);
  if (ACCUMULATE) { gradient += dx[i]; }
  dx[i] = gradient;
}
