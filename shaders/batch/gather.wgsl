// batch/gather: a batch of images as the network sees them, from the data set's bytes on the GPU.
//
//   x[n,c,i,j] = (byte / 255 − mean[c]) / deviation[c]       byte of sample s = order[first + n]
//
// With PADDING the image is thought padded on all sides with `pad_value`, cropped at an offset of 0 to 2·PADDING in
// each direction, and with FLIP mirrored left to right half of the time; offsets and mirror are drawn from
// (seed, STREAM, epoch, sample), so they do not depend on batches or slabs.
// Source:   Hoffer et al. 2017, released code (its pre-processing).
// Dispatch: one lane per element of x, folded into x and y.

override N: u32;               // samples of this slab
override C: u32;
override H: u32;
override W: u32;
override PADDING: u32;         // pixels
override FLIP: bool;
override STREAM: u32;          // which use of randomness (src/support/random.ts, STREAMS)
override WG_SIZE: u32 = 64u;

struct Params { first: u32, pad_value: u32 }  // the slab's first sample in its batch; padding byte, 0 to 255

@group(0) @binding(0) var<storage, read> images: array<u32>;            // [samples, C, H, W] bytes, four to a word
@group(0) @binding(1) var<storage, read> labels: array<u32>;            // [samples]
@group(0) @binding(2) var<storage, read> order: array<u32>;             // [samples and more]
@group(0) @binding(3) var<storage, read> normalization: array<f32>;     // [C, 2]: mean, deviation
@group(0) @binding(4) var<storage, read_write> x: array<f32>;           // [N, C, H, W]
@group(0) @binding(5) var<storage, read_write> batch_labels: array<u32>; // [N]
@group(0) @binding(6) var<uniform> step: Step;
@group(0) @binding(7) var<uniform> params: Params;

// @import lib/step.wgsl
// @import lib/random.wgsl
// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3<u32>,
  @builtin(num_workgroups) count: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let element = flat_index(wg, count, lane, WG_SIZE);
  if (element >= N * C * H * W) { return; }
  let j = element % W;
  let i = (element / W) % H;
  let c = (element / (W * H)) % C;
  let n = element / (W * H * C);
  let sample = order[step.first_sample + params.first + n];

  var row = i32(i);
  var column = i32(j);
  if (PADDING > 0u || FLIP) {
    let bits = pcg4d(vec4<u32>(step.seed, STREAM, step.epoch, sample));
    if (FLIP && (bits.z >> 31u) == 1u) { column = i32(W) - 1 - column; }
    row += i32(bits.x % (2u * PADDING + 1u)) - i32(PADDING);
    column += i32(bits.y % (2u * PADDING + 1u)) - i32(PADDING);
  }
  var byte = params.pad_value;
  if (row >= 0 && row < i32(H) && column >= 0 && column < i32(W)) {
    let position = ((sample * C + c) * H + u32(row)) * W + u32(column);
    byte = (images[position / 4u] >> (8u * (position % 4u))) & 255u;
  }
  x[element] = (f32(byte) / 255.0 - normalization[2u * c]) / normalization[2u * c + 1u];
  if (element % (C * H * W) == 0u) { batch_labels[n] = labels[sample]; }
}
