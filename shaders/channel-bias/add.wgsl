// channel-bias/add: y[n,c,p] = x[n,c,p] + bias[c].
//
// Dispatch: one lane per element, in a grid folded into two dimensions.

override C: u32;     // channels
override HW: u32;    // pixels of one image
override SIZE: u32;  // N · C · HW
override WG_SIZE: u32 = 64u;
alias Stored = f32;  // @spec  x and y in memory: f16 in mixed precision

@group(0) @binding(0) var<storage, read> x: array<Stored>;        // [N, C, HW]
@group(0) @binding(1) var<storage, read> bias: array<f32>;        // [C]
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;  // [N, C, HW]

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  let i = flat_index(wg, count, lane, WG_SIZE);
  if (i < SIZE) { y[i] = Stored(f32(x[i]) + bias[(i / HW) % C]); }
}
