// bench/multiply-add: chains of multiply-adds in registers, the fastest that arithmetic can go.
//
//   a ← a · b + c, `iterations` · REPEATS times, in 8 independent chains of vec4 per lane: 256 operations per iteration.
//
// Independent chains hide each other's latency. b and c come from memory, so that the compiler knows nothing about them. A plain loop
// takes three times as long per iteration on lavapipe.
// Source:   the arithmetic peak of the roofline model (Williams, Waterman and Patterson 2009).
// Dispatch: (workgroups of 64 lanes, 1, 1).

// @import lib/loop.wgsl

override WG_SIZE: u32 = 64u;
const REPEATS: u32 = 4u;

struct Params {
  iterations: i32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;        // [2]: b and c
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [lanes]
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let i = wg.x * WG_SIZE + lane;
  let b = x[0];
  let c = x[1];
  let start = vec4f(f32(lane));
  var a0 = start;
  var a1 = start + 1.0;
  var a2 = start + 2.0;
  var a3 = start + 3.0;
  var a4 = start + 4.0;
  var a5 = start + 5.0;
  var a6 = start + 6.0;
  var a7 = start + 7.0;
  for (var iteration = 0; iteration < FOREVER; iteration++) {
    if (iteration >= params.iterations) { break; }
    for (var repeat = 0u; repeat < REPEATS; repeat++) {
      a0 = fma(a0, b, c);
      a1 = fma(a1, b, c);
      a2 = fma(a2, b, c);
      a3 = fma(a3, b, c);
      a4 = fma(a4, b, c);
      a5 = fma(a5, b, c);
      a6 = fma(a6, b, c);
      a7 = fma(a7, b, c);
    }
  }
  y[i] = ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7));
}
