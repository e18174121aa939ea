// non-finite/count-state: how many numbers of a model are NaN or infinite: of its parameters and its running statistics.
//
//   total ← total + #{ i : the exponent bits of (values, running_mean, running_variance)[i] are all ones }
//
// By the bits: a compiler that assumes finite arithmetic may drop any comparison that only NaN would fail. The sum is of
// integers, so the order of the lanes does not matter.
// Source:   IEEE 754, binary32.
// Dispatch: a lane per word, those of the parameters first, folded into x and y.

override SIZE: u32;            // words of values
override CHANNELS: u32;        // words of either statistic
override WG_SIZE: u32 = 64u;

@group(0) @binding(0) var<storage, read> values: array<u32>;                 // [SIZE], the bits of f32
@group(0) @binding(1) var<storage, read> running_mean: array<u32>;           // [CHANNELS], the bits of f32
@group(0) @binding(2) var<storage, read> running_variance: array<u32>;       // [CHANNELS], the bits of f32
@group(0) @binding(3) var<storage, read_write> total: array<atomic<u32>>;    // [1]

// @import lib/grid.wgsl

fn word(i: u32) -> u32 {
  if (i < SIZE) { return values[i]; }
  if (i < SIZE + CHANNELS) { return running_mean[i - SIZE]; }
  return running_variance[i - SIZE - CHANNELS];
}

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
) {
  let i = flat_index(wg, count, local.x, WG_SIZE);
  if (i >= SIZE + 2u * CHANNELS) { return; }
  if ((word(i) & 0x7f800000u) == 0x7f800000u) { atomicAdd(&total[0], 1u); }
}
