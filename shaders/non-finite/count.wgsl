// non-finite/count: how many numbers of an array are NaN or infinite.
//
//   total ← total + #{ i : the exponent bits of x[i] are all ones }
//
// Tests the bits: a compiler that assumes finite arithmetic may drop a comparison that only NaN fails. The sum is of integers,
// so the order of the lanes does not matter. A word is one f32 or, with HALVES, two f16.
// Source:   IEEE 754, binary32 and binary16.
// Dispatch: one lane per word, in a grid folded into two dimensions.

override SIZE: u32;     // words of x
override NUMBERS: u32;  // numbers in them
override HALVES: bool;  // words hold two f16, with 5 bits of exponent each
override WG_SIZE: u32 = 64u;

@group(0) @binding(0) var<storage, read> x: array<u32>;                      // [SIZE], the bits of f32 or f16
@group(0) @binding(1) var<storage, read_write> total: array<atomic<u32>>;    // [1]

// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let i = flat_index(wg, grid, local.x, WG_SIZE);
  if (i >= SIZE) { return; }
  let word = x[i];
  var count = select(0u, 1u, (word & 0x7f800000u) == 0x7f800000u);
  if (HALVES) {
    let low = select(0u, 1u, (word & 0x7c00u) == 0x7c00u);
    let high = select(0u, 1u, (word & 0x7c000000u) == 0x7c000000u && 2u * i + 1u < NUMBERS);
    count = low + high;
  }
  if (count > 0u) { atomicAdd(&total[0], count); }
}
