// elementwise/add: y = a + b.
//
// Dispatch: one lane per Element, in a grid folded into two dimensions.

override WG_SIZE: u32 = 64u;
alias Element = vec4f;  // @spec  f32 where the size is not a multiple of 4
alias Stored = vec4f;   // @spec  an Element in memory: f16 in mixed precision

struct Params {
  count: u32,  // Elements
}

@group(0) @binding(0) var<storage, read> a: array<Stored>;          // [count]
@group(0) @binding(1) var<storage, read> b: array<Stored>;          // [count]
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;    // [count]
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
  y[i] = Stored(Element(a[i]) + Element(b[i]));
}
