// conv2d-direct: the simplest convolution: each lane computes one output.
//
//   y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING] · weight[k,c,r,s]
//
// where x is 0 outside the image. An example for `ghostbatch bench kernel … --as conv2d/forward`, explained in
// docs/WRITING-A-KERNEL.md.
// @dispatch (ceil(P * Q / 64), K, images)

override C: u32;
override H: u32;
override W: u32;
override K: u32;
override P: u32;
override Q: u32;
override R: u32;
override S: u32;
override STRIDE: u32;
override PADDING: u32;

// Loop bounds come from here, not from overrides, so that no driver unrolls the loops at compile time.
struct Params { images: u32, filter_rows: u32, filter_columns: u32, channels: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read> weight: array<f32>;   // [K, C, R, S]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N, K, P, Q]
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pixel = group.x * 64u + lane;
  let k = group.y;
  let n = group.z;
  if (pixel >= P * Q) { return; }
  let p = pixel / Q;
  let q = pixel % Q;

  var sum = 0.0;
  for (var c = 0u; c < params.channels; c++) {
    for (var r = 0u; r < params.filter_rows; r++) {
      for (var s = 0u; s < params.filter_columns; s++) {
        // Unsigned: a position left of or above the image wraps around, and is beyond every size.
        let h = p * STRIDE + r - PADDING;
        let w = q * STRIDE + s - PADDING;
        if (h < H && w < W) {
          sum += x[((n * C + c) * H + h) * W + w] * weight[((k * C + c) * R + r) * S + s];
        }
      }
    }
  }
  y[((n * K + k) * P + p) * Q + q] = sum;
}
