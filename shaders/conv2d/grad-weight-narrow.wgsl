// conv2d/grad-weight-narrow: partial sums of the weight gradient for adapters with 8-lane subgroups.
//
//   partials[i,k,c,r,s] = Σ dy[n,k,p,q] · x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING]
//
// over the i-th run of `tiles_per_split` of the N · ceil(P / ROWS) · ceil(Q / COLUMNS) tiles of output pixels; x outside its
// border is 0. reduce/sum-rows adds up the runs in order, so the result has the same bits every time.
// A workgroup is one subgroup and computes the gradients of CHANNELS input channels × TAP_ROWS filter rows for 8·GROUPS output
// channels; each lane takes one output channel of each group. In each tile dy is loaded once per pixel. The input pixels are loaded
// eight at a time, and each is passed from the lane that loaded it to all lanes.
// The driver unrolls every loop but the outer one. It does so only if a loop covers the whole length of the arrays it indexes; the
// shapes of the arrays follow from that.
// Dispatch: (ceil(K / (8·GROUPS)), ceil(C / CHANNELS) · ceil(R / TAP_ROWS), splits).
enable subgroups;

// @import lib/loop.wgsl

override C: u32;
override H: u32;
override W: u32;
override K: u32;
override P: u32;
override Q: u32;
override R: u32;
alias Stored = f32;        // @spec  x and dy in memory: f16 in mixed precision
const S: u32 = 3u;         // @spec
const STRIDE: u32 = 1u;    // @spec
const PADDING: u32 = 1u;   // @spec
const TAP_ROWS: u32 = 3u;  // @spec  filter rows per workgroup
const CHANNELS: u32 = 4u;  // @spec  input channels per workgroup
const ROWS: u32 = 1u;      // @spec
const COLUMNS: u32 = 8u;   // @spec
const GROUPS: u32 = 2u;    // @spec
const LANES = 8u;

// Input rows and columns of a tile: a stride larger than the filter skips those in between.
const ROW_STEP = min(STRIDE, TAP_ROWS);
const COLUMN_STEP = min(STRIDE, S);
const IN_ROWS = (ROWS - 1u) * ROW_STEP + TAP_ROWS;
const IN_COLUMNS = (COLUMNS - 1u) * COLUMN_STEP + S;
const LOADS = (CHANNELS * IN_ROWS * IN_COLUMNS + LANES - 1u) / LANES;

@group(0) @binding(0) var<storage, read> x: array<Stored>;            // [N, C, H, W]
@group(0) @binding(1) var<storage, read> dy: array<Stored>;           // [N, K, P, Q]
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;  // [splits, K, C, R, S]
struct Params { tiles: u32, tiles_per_split: u32 }                    // tiles of all images
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let row_chunks = (R + TAP_ROWS - 1u) / TAP_ROWS;
  let c0 = wg.y / row_chunks * CHANNELS;
  let r0 = wg.y % row_chunks * TAP_ROWS;
  let k0 = wg.x * LANES * GROUPS + lane;

  // This lane's share of the input pixels of a tile, counted from the tile's top left one.
  var down = array<u32, LOADS>();
  var along = array<u32, LOADS>();
  var place = array<u32, LOADS>();
  for (var i = 0u; i < LOADS; i++) {
    let at = i * LANES + lane;
    let row = at / IN_COLUMNS % IN_ROWS;
    let column = at % IN_COLUMNS;
    down[i] = select(row, row / TAP_ROWS * STRIDE + row % TAP_ROWS, STRIDE > TAP_ROWS);
    along[i] = select(column, column / S * STRIDE + column % S, STRIDE > S);
    place[i] = min(c0 + at / (IN_ROWS * IN_COLUMNS), C - 1u) * H * W + down[i] * W + along[i];
  }

  var sum = array<array<array<array<f32, S>, TAP_ROWS>, CHANNELS>, GROUPS>();
  let tiles_across = (Q + COLUMNS - 1u) / COLUMNS;
  let tiles_of_image = tiles_across * ((P + ROWS - 1u) / ROWS);
  let end = min(params.tiles, (wg.z + 1u) * params.tiles_per_split);
  let first = wg.z * params.tiles_per_split;
  for (var step = 0; step < FOREVER; step++) {
    let tile = first + u32(step);
    if (tile >= end) { break; }
    let n = tile / tiles_of_image;
    let p0 = tile % tiles_of_image / tiles_across * ROWS;
    let q0 = tile % tiles_across * COLUMNS;
    let top = p0 * STRIDE + r0 - PADDING;  // negative values wrap around, so the tests against H and W reject them
    let left = q0 * STRIDE - PADDING;
    let corner = n * C * H * W + top * W + left;
    var loaded = array<f32, LOADS>();
    for (var i = 0u; i < LOADS; i++) {
      let inside = top + down[i] < H && left + along[i] < W;
      loaded[i] = select(0.0, f32(x[select(0u, corner + place[i], inside)]), inside);
    }
    var pixel = array<array<array<f32, IN_COLUMNS>, IN_ROWS>, CHANNELS>();
    for (var c = 0u; c < CHANNELS; c++) {
      for (var i = 0u; i < IN_ROWS; i++) {
        for (var j = 0u; j < IN_COLUMNS; j++) {
          let at = (c * IN_ROWS + i) * IN_COLUMNS + j;
          pixel[c][i][j] = subgroupShuffle(loaded[at / LANES], at % LANES);
        }
      }
    }
    for (var g = 0u; g < GROUPS; g++) {
      let k = min(k0 + g * LANES, K - 1u);
      var slope = array<array<f32, COLUMNS>, ROWS>();
      for (var p = 0u; p < ROWS; p++) {
        for (var q = 0u; q < COLUMNS; q++) {
          let exists = (P % ROWS == 0u || p0 + p < P) && (Q % COLUMNS == 0u || q0 + q < Q);
          let at = ((n * K + k) * P + p0 + p) * Q + q0 + q;
          slope[p][q] = select(0.0, f32(dy[select(0u, at, exists)]), exists);
        }
      }
      for (var c = 0u; c < CHANNELS; c++) {
        for (var r = 0u; r < TAP_ROWS; r++) {
          for (var s = 0u; s < S; s++) {
            for (var p = 0u; p < ROWS; p++) {
              for (var q = 0u; q < COLUMNS; q++) {
                sum[g][c][r][s] = fma(slope[p][q], pixel[c][p * ROW_STEP + r][q * COLUMN_STEP + s], sum[g][c][r][s]);
              }
            }
          }
        }
      }
    }
  }

  for (var g = 0u; g < GROUPS; g++) {
    let k = k0 + g * LANES;
    for (var c = 0u; c < CHANNELS; c++) {
      for (var r = 0u; r < TAP_ROWS; r++) {
        for (var s = 0u; s < S; s++) {
          if (k < K && c0 + c < C && r0 + r < R) {
            partials[(((wg.z * K + k) * C + c0 + c) * R + r0 + r) * S + s] = sum[g][c][r][s];
          }
        }
      }
    }
  }
}
