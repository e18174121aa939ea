// shards/zero: y = 0: the gradient of a shard that has no ghosts.
//
// Dispatch: one lane per vec4f, in a grid folded into two dimensions.

override WG_SIZE: u32 = 64u;

struct Params {
  count: u32,  // vec4f
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;  // [count]
@group(0) @binding(1) var<uniform> params: Params;

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let i = flat_index(wg, grid, local.x, WG_SIZE);
  if (i >= params.count) { return; }
  y[i] = vec4f();
}
