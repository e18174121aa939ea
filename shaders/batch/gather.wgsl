// batch/gather: a batch of normalized images for the network, from the data set's bytes on the GPU.
//
//   x[n,c,i,j] = (byte / 255 − mean[c]) / deviation[c]       byte of sample s = order[first + n]
//
// A deviation of 0 means that the channel has one value everywhere: its x is 0, also in the padding.
// With PADDING the image is padded on all sides with `pad_value` and cropped at an offset of 0 to 2·PADDING in each direction.
// With FLIP it is mirrored left to right half of the time. Offsets and mirroring are drawn from (seed, STREAM, epoch, sample),
// so they do not depend on how samples are grouped into batches or slabs.
// Source:   Hoffer et al. 2017, released code (its pre-processing).
// Dispatch: one lane per four columns of a row of x, in a grid folded into two dimensions.

override N: u32;        // samples of this slab
override C: u32;
override H: u32;
override W: u32;
override PADDING: u32;  // pixels
override FLIP: bool;
override STREAM: u32;   // which use of randomness (src/support/random.ts, STREAMS)
override WG_SIZE: u32 = 64u;
alias Stored = f32;     // @spec  x in memory: f16 in mixed precision

struct Params {
  first: u32,        // the slab's first sample in its batch
  pad_value: u32,    // padding byte, 0 to 255
  first_image: u32,  // the first sample in `images`, and
  images_end: u32,   // one past its last: a data set too large for one binding is gathered in parts
}

@group(0) @binding(0) var<storage, read> images: array<u32>;              // [images_end − first_image, C, H, W] bytes, four to a word
@group(0) @binding(1) var<storage, read> labels: array<u32>;              // [samples]
@group(0) @binding(2) var<storage, read> order: array<u32>;               // [at least samples]
@group(0) @binding(3) var<storage, read> normalization: array<f32>;       // [C, 2]: mean, deviation
@group(0) @binding(4) var<storage, read_write> x: array<Stored>;          // [N, C, H, W]
@group(0) @binding(5) var<storage, read_write> batch_labels: array<u32>;  // [N]
@group(0) @binding(6) var<uniform> step: Step;
@group(0) @binding(7) var<uniform> params: Params;

// @import lib/step.wgsl
// @import lib/random.wgsl
// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  const QUAD = 4u;
  let quads = (W + QUAD - 1u) / QUAD;
  let position = flat_index(wg, count, lane, WG_SIZE);
  if (position >= N * C * H * quads) { return; }
  let j = position % quads * QUAD;
  let i = (position / quads) % H;
  let c = (position / (quads * H)) % C;
  let n = position / (quads * H * C);
  let sample = order[step.first_sample + params.first + n];
  if (sample < params.first_image || sample >= params.images_end) { return; }
  let plane = ((sample - params.first_image) * C + c) * H * W;
  let element = ((n * C + c) * H + i) * W + j;
  let mean = normalization[2u * c];
  let deviation = normalization[2u * c + 1u];
  if (element % (C * H * W) == 0u) { batch_labels[n] = labels[sample]; }

  if (PADDING == 0u && !FLIP && W % QUAD == 0u) {
    // The four bytes are one word.
    let bytes = unpack4xU8(images[(plane + i * W + j) / QUAD]);
    for (var k = 0u; k < QUAD; k++) { x[element + k] = Stored(normalized(bytes[k], mean, deviation)); }
    return;
  }
  let bits = pcg4d(vec4u(step.seed, STREAM, step.epoch, sample));
  let row = i32(i) + i32(bits.x % (2u * PADDING + 1u)) - i32(PADDING);
  let shift = i32(bits.y % (2u * PADDING + 1u)) - i32(PADDING);
  let mirrored = FLIP && (bits.z >> 31u) == 1u;
  for (var k = 0u; k < min(QUAD, W - j); k++) {
    let column = select(i32(j + k), i32(W - 1u - j - k), mirrored) + shift;
    var byte = params.pad_value;
    if (row >= 0 && row < i32(H) && column >= 0 && column < i32(W)) {
      let at = plane + u32(row) * W + u32(column);
      byte = (images[at / QUAD] >> (8u * (at % QUAD))) & 255u;
    }
    x[element + k] = Stored(normalized(byte, mean, deviation));
  }
}

fn normalized(byte: u32, mean: f32, deviation: f32) -> f32 {
  if (deviation == 0.0) { return 0.0; }
  return (f32(byte) / 255.0 - mean) / deviation;
}
