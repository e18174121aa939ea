// conv2d/forward-patch: convolution from a patch of the image in workgroup memory, for GPUs; with TRANSPOSED its input gradient.
//
//   forward:     y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING] · weight[k,c,r,s]
//   TRANSPOSED:  y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p + r − (R−1−PADDING), q + s − (S−1−PADDING)] · weight[c, k, R−1−r, S−1−s]
//
// x outside its border is 0. The second is grad-input with STRIDE 1: x is dy and y is dx. ACCUMULATE adds to y instead of overwriting it.
// examples/conv2d-direct.wgsl computes the same in 20 plain lines, and sums each y in the same order: over c, then r, then s.
// lib/conv2d-patch computes the sums, and explains how it reads each number only a few times.
// MOMENTS also writes mean and Σ (y − mean)² of each channel over the tile's part of each image; see lib/conv2d-moments.wgsl.
// Dispatch: (ceil(K / tile channels), a, b) with a·b ≥ tiles down · tiles across · ceil(images / IMAGES).
// @products TM * 4 * ROWS * R * S * DEPTH

// @import lib/loop.wgsl
// @import lib/conv2d-patch.wgsl
// @import lib/conv2d-shares.wgsl
// @import lib/conv2d-moments.wgsl

override TRANSPOSED: bool = false;
override ACCUMULATE: bool = false;
alias Stored = f32;           // @spec  x and y in memory: f16 in mixed precision
const MOMENTS: bool = false;  // @spec
const SHARES = MOMENTS;

@group(0) @binding(0) var<storage, read> x: array<Stored>;           // [N, C, H, W]
@group(0) @binding(1) var<storage, read> weight: array<f32>;         // [K, C, R, S]; TRANSPOSED [C, K, R, S]
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;     // [N, K, P, Q]
@group(0) @binding(3) var<storage, read_write> moments: array<f32>;  // @optional  [N, tiles of an image, K, 2], written with MOMENTS
struct Params { images: u32, channels: u32 }                   // N; C as a uniform too, so that the loop over it is not unrolled
@group(0) @binding(4) var<uniform> params: Params;

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
  write(corner, m, n, &sum);
  if (MOMENTS) {
    let images = select(0u, min(params.images - corner.image, IMAGES), corner.image < params.images);
    tile_moments(&sum, m, n, lane);
    for (var item = lane; item < TILE_M * images; item += THREADS) {
      let channel = corner.channel + item % TILE_M;
      let image = corner.image + item / TILE_M;
      let at = 2u * ((image * TILES + tile % TILES) * K + channel);
      if (channel < K) {
        moments[at] = tile_mean(item);
        moments[at + 1u] = tile_squares(item);
      }
    }
  }
}

// Writes the thread's sums to y. Where K, P or Q is a multiple of the tile, the compiler drops the bounds test.
fn write(corner: Corner, m: u32, n: u32, sum: ptr<function, Sums>) {
  let image = corner.image + n / (ACROSS * DOWN);
  let first_row = corner.row + n / ACROSS % DOWN * ROWS;
  let first_column = corner.column + n % ACROSS * 4u;
  if (image >= params.images || (Q % TILE_COLUMNS != 0u && first_column >= Q)) { return; }
  for (var g = 0u; g < GROUPS_M; g++) {
    for (var v = 0u; v < 4u; v++) {
      let k = corner.channel + v * QUADS_M + m * GROUPS_M + g;
      for (var row = 0u; row < ROWS; row++) {
        let p = first_row + row;
        if ((K % TILE_M == 0u || k < K) && (P % TILE_ROWS == 0u || p < P)) {
          let at = ((image * K + k) * P + p) * Q + first_column;
          let values = (*sum)[(4u * g + v) * ROWS + row];
          for (var j = 0u; j < 4u; j++) {
            if (Q % 4u == 0u || first_column + j < Q) {
              if (ACCUMULATE) { y[at + j] = Stored(f32(y[at + j]) + values[j]); } else { y[at + j] = Stored(values[j]); }
            }
          }
        }
      }
    }
  }
}
