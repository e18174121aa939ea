// skip/restore: undoes what a skipped step wrote; with ALWAYS, makes the copy that this needs, before the step writes.
//
//   y[i] ← x[i]   where clip[1] < 0, which marks a step that is skipped (clip/coefficient), or ALWAYS is set
//
// Dispatch: one lane per number, in a grid folded into two dimensions.

override SIZE: u32;
override ALWAYS: bool;
override WG_SIZE: u32 = 64u;

@group(0) @binding(0) var<storage, read> x: array<f32>;        // [SIZE]
@group(0) @binding(1) var<storage, read> clip: array<f32>;     // [2]: norm, coefficient
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [SIZE]

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let i = flat_index(wg, count, local.x, WG_SIZE);
  if (i >= SIZE) { return; }
  if (ALWAYS || clip[1] < 0.0) { y[i] = x[i]; }
}
