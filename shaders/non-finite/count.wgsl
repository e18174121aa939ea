// non-finite/count: how many numbers of an array are NaN or infinite.
//
//   total ← total + #{ i : the exponent bits of x[i] are all ones }
//
// By the bits: a compiler that assumes finite arithmetic may drop any comparison that only NaN would fail. The sum is of
// integers, so the order of the lanes does not matter.
// Source:   IEEE 754, binary32.
// Dispatch: a lane per word, folded into x and y.

override SIZE: u32;            // words of x
override WG_SIZE: u32 = 64u;

@group(0) @binding(0) var<storage, read> x: array<u32>;                      // [SIZE], the bits of f32
@group(0) @binding(1) var<storage, read_write> total: array<atomic<u32>>;    // [1]

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let i = flat_index(wg, count, local.x, WG_SIZE);
  if (i >= SIZE) { return; }
  if ((x[i] & 0x7f800000u) == 0x7f800000u) { atomicAdd(&total[0], 1u); }
}
