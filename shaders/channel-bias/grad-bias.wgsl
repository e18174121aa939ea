// channel-bias/grad-bias: dbias[c] = Σ_n Σ_p dy[n,c,p], in a fixed order.
//
// Dispatch: one workgroup per channel: (C, 1, 1).

override C: u32;               // channels
override HW: u32;              // pixels of one image
override ACCUMULATE: bool;     // dbias += instead of dbias =
override WG_SIZE: u32 = 256u;  // lanes in a workgroup, a power of two

struct Params { count: u32 }   // N · HW

@group(0) @binding(0) var<storage, read> dy: array<f32>;           // [N, C, HW]
@group(0) @binding(1) var<storage, read_write> dbias: array<f32>;  // [C]
@group(0) @binding(2) var<uniform> params: Params;

// @import lib/workgroup-sum.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let lane = local.x;
  let c = wg.x;
  var sum = 0.0;
  for (var i = lane; i < params.count; i += WG_SIZE) {
    sum += dy[((i / HW) * C + c) * HW + i % HW];
  }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) { dbias[c] = select(total, total + dbias[c], ACCUMULATE); }
}
