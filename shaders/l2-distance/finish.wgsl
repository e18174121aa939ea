// l2-distance/finish: the root of the sum of partial sums, in order.
//
//   distance[INDEX] = √ Σ_w partial[w]
//
// Dispatch: (1, 1, 1).

override PARTS: u32;
override INDEX: u32;           // which element of distance

struct Params { parts: u32 }   // PARTS once more, as a loop bound

@group(0) @binding(0) var<storage, read> partial: array<f32>;             // [PARTS]
@group(0) @binding(1) var<storage, read_write> distance_out: array<f32>;  // [INDEX + 1 or more]
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(1)
fn main() {
  var sum = 0.0;
  for (var w = 0u; w < min(params.parts, PARTS); w++) { sum += partial[w]; }
  distance_out[INDEX] = sqrt(sum);
}
