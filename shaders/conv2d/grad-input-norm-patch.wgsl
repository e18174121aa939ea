// conv2d/grad-input-norm-patch: input gradient of a convolution whose input is the output of a batch norm, together with
// the sums that the norm's gradients need; for GPUs.
//
//   dy'[n,k,p,q]  = Σ_c Σ_r Σ_s x[n, c, p + r − (R−1−PADDING), q + s − (S−1−PADDING)] · weight[c, k, R−1−r, S−1−s]   (+ the old y)
//                   where the norm's relu passed its output on, else 0
//   sums[n,t,k]   = (Σ dy', Σ dy'·x̂)      over the pixels of tile t of image n;   x̂ = (norm_x − mean) / √(variance + eps)
//
// The convolution is that of conv2d/forward-patch with TRANSPOSED: x is the gradient of its output, 0 outside its border, and y that of
// its input, which becomes dy'. The norm's input gradient then reads dy' and these few sums, and no pass reads dy' just to sum it.
// GATE says how to tell the relu's sign: 0, there was no relu; 1, recompute it from norm_x with forward's own arithmetic (gamma_or_y
// is gamma); 2, read it from the norm's output, since a residual was added (gamma_or_y is that output).
// Source:   Hoffer et al. 2017, Algorithm 1; its derivative as in Ioffe and Szegedy 2015, section 3.
// Dispatch: (ceil(K / tile channels), a, b) with a·b ≥ tiles down · tiles across · ceil(images / IMAGES).
// @products TM * 4 * ROWS * R * S * DEPTH

alias Element = vec4f;
// @import lib/loop.wgsl
// @import lib/conv2d-patch.wgsl
// @import lib/conv2d-shares.wgsl
// @import lib/ghost-batch-norm.wgsl
// @import lib/relu.wgsl

override ACCUMULATE: bool;
override GATE: u32;
alias Stored = f32;  // @spec  x, y and the norm's x and y in memory: f16 in mixed precision
alias Gate = f32;    // @spec  gamma_or_y in memory: as Stored where it is y
const TRANSPOSED = true;
const SHARES = true;

struct Params {
  images: u32,          // N
  channels: u32,        // C as a uniform too, so that the loop over it is not unrolled
  ghost_size: u32,      // samples in a ghost; the last one takes the rest
  ghosts: u32,
  first_ghost: u32,     // row of `statistics` that ghost 0 reads
  first_channel: u32,   // column of `statistics` that channel 0 reads
  total_channels: u32,  // columns of `statistics`
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;          // [N, C, H, W]
@group(0) @binding(1) var<storage, read> weight: array<f32>;        // [C, K, R, S]
@group(0) @binding(2) var<storage, read> norm_x: array<Stored>;     // [N, K, P, Q]
@group(0) @binding(3) var<storage, read> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(4) var<storage, read> gamma_or_y: array<Gate>;   // [K], or [N, K, P, Q] where GATE is 2
@group(0) @binding(5) var<storage, read> beta: array<f32>;          // [K], read where GATE is 1
@group(0) @binding(6) var<storage, read_write> y: array<Stored>;    // [N, K, P, Q]
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;    // [N, tiles of an image, K, 2]
@group(0) @binding(8) var<uniform> params: Params;

// A thread's sums of its channels: component v of vec4 g belongs to channel v·QUADS_M + m·GROUPS_M + g.
alias Own = array<vec4f, GROUPS_M>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = wg.z * grid.y + wg.y;
  let corner = Corner(
    wg.x * TILE_M,
    tile / TILES * IMAGES,
    tile / TILES_ACROSS % TILES_DOWN * TILE_ROWS,
    tile % TILES_ACROSS * TILE_COLUMNS,
  );
  let n = lane % BLOCK_N + lane / (BLOCK_M * BLOCK_N) % (THREADS_N / BLOCK_N) * BLOCK_N;
  let m = lane / BLOCK_N % BLOCK_M + lane / (BLOCK_M * THREADS_N) * BLOCK_M;
  var sum = Sums();
  convolve(corner, lane, m, n, &sum);
  var gradients = Own();
  var products = Own();
  write(corner, m, n, &sum, &gradients, &products);
  write_sums(corner, tile, m, n, lane, 0u, &gradients);
  workgroupBarrier();  // every thread has read the shares of the first sum
  write_sums(corner, tile, m, n, lane, 1u, &products);
}

// Writes the thread's part of dy' to y, and adds up Σ dy' and Σ dy'·x̂ of each of its channels. Where K, P or Q is a multiple of the
// tile, the compiler drops the bounds test.
fn write(
  corner: Corner,
  m: u32,
  n: u32,
  sum: ptr<function, Sums>,
  gradients: ptr<function, Own>,
  products: ptr<function, Own>,
) {
  let image = corner.image + n / (ACROSS * DOWN);
  let first_row = corner.row + n / ACROSS % DOWN * ROWS;
  let first_column = corner.column + n % ACROSS * 4u;
  if (image >= params.images || (Q % TILE_COLUMNS != 0u && first_column >= Q)) { return; }
  let ghost_row = params.first_ghost + min(image / params.ghost_size, params.ghosts - 1u);
  for (var g = 0u; g < GROUPS_M; g++) {
    for (var v = 0u; v < 4u; v++) {
      let k = corner.channel + v * QUADS_M + m * GROUPS_M + g;
      if (K % TILE_M == 0u || k < K) {
        let statistic = statistics[ghost_row * params.total_channels + params.first_channel + k];
        let mean = vec4f(statistic.x);
        let r = inverse_deviation(vec4f(statistic.y), params.eps);
        for (var row = 0u; row < ROWS; row++) {
          if (P % TILE_ROWS == 0u || first_row + row < P) {
            let at = ((image * K + k) * P + first_row + row) * Q + first_column;
            var gradient = (*sum)[(4u * g + v) * ROWS + row];
            var input = mean;
            var output = vec4f();
            for (var j = 0u; j < 4u; j++) {
              if (Q % 4u == 0u || first_column + j < Q) {
                input[j] = f32(norm_x[at + j]);
                if (ACCUMULATE) { gradient[j] += f32(y[at + j]); }
                if (GATE == 2u) { output[j] = f32(gamma_or_y[at + j]); }
              } else {
                gradient[j] = 0.0;
              }
            }
            if (GATE == 1u) { output = affine(input, mean, f32(gamma_or_y[k]) * r, vec4f(beta[k])); }
            if (GATE > 0u) { gradient = through_relu(gradient, output); }
            for (var j = 0u; j < 4u; j++) {
              if (Q % 4u == 0u || first_column + j < Q) { y[at + j] = Stored(gradient[j]); }
            }
            (*gradients)[g][v] += dot(gradient, vec4f(1.0));
            (*products)[g][v] += dot(gradient, r * (input - mean));
          }
        }
      }
    }
  }
}

// Adds up what the threads of a tile hold of each channel and image, and writes it as component `part` of the pairs in `sums`.
fn write_sums(corner: Corner, tile: u32, m: u32, n: u32, lane: u32, part: u32, own: ptr<function, Own>) {
  for (var g = 0u; g < GROUPS_M; g++) { weight_tile[(m * GROUPS_M + g) * THREADS_N + n] = (*own)[g]; }
  workgroupBarrier();
  let images = select(0u, min(params.images - corner.image, IMAGES), corner.image < params.images);
  for (var item = lane; item < TILE_M * images; item += THREADS) {
    let channel = corner.channel + item % TILE_M;
    let row = (corner.image + item / TILE_M) * TILES + tile % TILES;
    let total = share_sum(item, 0.0);
    if (channel < K) { sums[2u * (row * K + channel) + part] = total; }
  }
}
