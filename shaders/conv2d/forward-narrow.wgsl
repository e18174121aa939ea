// conv2d/forward-narrow: convolution for adapters with 8-lane subgroups; with TRANSPOSED its input gradient.
//
//   forward:     y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING] · weight[k,c,r,s]
//   TRANSPOSED:  y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, (p + PADDING − r) / STRIDE, (q + PADDING − s) / STRIDE] · weight[c,k,r,s]
//
// Terms outside x, and those whose division leaves a remainder, are 0. The second is grad-input: x is dy, y is dx, and
// C, H, W are the channels, rows and columns of dy. ACCUMULATE adds to y instead of overwriting it.
// MOMENTS also writes mean and Σ (y − mean)² of each channel over each tile to `moments` [N, tiles of an image, K, 2]. Tiles then lie
// within P × Q.
// A workgroup is one subgroup and computes a tile of IMAGES × ROWS × COLUMNS pixels of 8·GROUPS channels. Each lane takes an output
// channel of each group, so the weights are read as they are stored. The input pixels of the tile are loaded once per channel, eight
// at a time, and each is passed from the lane that loaded it to all lanes.
// The driver unrolls every loop but the two outer ones. It does so only if a loop covers the whole length of the arrays it indexes;
// the shapes of the arrays follow from that. (Without unrolling, this kernel is 20 times slower on lavapipe.)
// Dispatch: (ceil(P / ROWS) · ceil(Q / COLUMNS), ceil(K / (8·GROUPS)), ceil(N / IMAGES)).
enable subgroups;

// @import lib/loop.wgsl

override C: u32;
override H: u32;
override W: u32;
override K: u32;
override P: u32;
override Q: u32;
override R: u32;
override ACCUMULATE: bool = false;
alias Stored = f32;              // @spec  x and y in memory: f16 in mixed precision
const TRANSPOSED: bool = false;  // @spec
const MOMENTS: bool = false;     // @spec
const S: u32 = 3u;               // @spec
const STRIDE: u32 = 1u;          // @spec
const PADDING: u32 = 1u;         // @spec
const TAP_ROWS: u32 = 3u;        // @spec  filter rows per step; TRANSPOSED: all R, or a multiple of STRIDE
const IMAGES: u32 = 1u;          // @spec
const ROWS: u32 = 4u;            // @spec  TRANSPOSED: a multiple of STRIDE
const COLUMNS: u32 = 8u;         // @spec  TRANSPOSED: a multiple of STRIDE
const GROUPS: u32 = 2u;          // @spec
const LANES = 8u;

// TRANSPOSED: added to p − r to make it positive; a multiple of STRIDE larger than PADDING.
const ROW_LIFT = PADDING + STRIDE * TAP_ROWS;
const COLUMN_LIFT = PADDING + STRIDE * S;
// The first input row (column) that the outputs of a tile read.
const ROW_LOW = select(0u, (ROW_LIFT + 1u - TAP_ROWS) / STRIDE, TRANSPOSED);
const COLUMN_LOW = select(0u, (COLUMN_LIFT + 1u - S) / STRIDE, TRANSPOSED);
// Input rows and columns of a tile: a stride larger than the filter skips those in between.
const ROW_STEP = min(STRIDE, TAP_ROWS);
const COLUMN_STEP = min(STRIDE, S);
const IN_ROWS = select((ROWS - 1u) * ROW_STEP + TAP_ROWS, (ROWS - 1u + ROW_LIFT) / STRIDE + 1u - ROW_LOW, TRANSPOSED);
const IN_COLUMNS = select((COLUMNS - 1u) * COLUMN_STEP + S, (COLUMNS - 1u + COLUMN_LIFT) / STRIDE + 1u - COLUMN_LOW, TRANSPOSED);
const LOADS = (IMAGES * IN_ROWS * IN_COLUMNS + LANES - 1u) / LANES;

@group(0) @binding(0) var<storage, read> x: array<Stored>;           // [N, C, H, W]
@group(0) @binding(1) var<storage, read> weight: array<f32>;         // [K, C, R, S]; TRANSPOSED [C, K, R, S]
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;     // [N, K, P, Q]
@group(0) @binding(3) var<storage, read_write> moments: array<f32>;  // @optional  [N, tiles of an image, K, 2], written with MOMENTS
struct Params { images: u32, filter_rows: u32, channels: i32 }  // N, and R and C as uniforms, so that loops over them are not unrolled
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let tiles_across = (Q + COLUMNS - 1u) / COLUMNS;
  let p0 = wg.x / tiles_across * ROWS;
  let q0 = wg.x % tiles_across * COLUMNS;
  let n0 = wg.z * IMAGES;
  let k0 = wg.y * LANES * GROUPS + lane;

  var sum = array<array<array<array<f32, GROUPS>, COLUMNS>, ROWS>, IMAGES>();
  for (var r0 = 0u; r0 < params.filter_rows; r0 += TAP_ROWS) {
    // Positions of this lane's share of the input pixels, and whether they are inside x.
    var place = array<u32, LOADS>();
    var inside = array<bool, LOADS>();
    for (var i = 0u; i < LOADS; i++) {
      let at = i * LANES + lane;
      let n = n0 + at / (IN_ROWS * IN_COLUMNS);
      let h = first_row(p0, r0) + i32(row_offset(at / IN_COLUMNS % IN_ROWS));
      let w = first_column(q0) + i32(column_offset(at % IN_COLUMNS));
      inside[i] = n < params.images && h >= 0 && h < i32(H) && w >= 0 && w < i32(W);
      place[i] = select(0u, n * C * H * W + u32(h) * W + u32(w), inside[i]);
    }
    for (var channel = 0; channel < FOREVER; channel++) {
      if (channel >= params.channels) { break; }
      let c = u32(channel);
      var loaded = array<f32, LOADS>();
      for (var i = 0u; i < LOADS; i++) { loaded[i] = select(0.0, f32(x[place[i] + c * H * W]), inside[i]); }
      var pixel = array<array<array<f32, IN_COLUMNS>, IN_ROWS>, IMAGES>();
      for (var n = 0u; n < IMAGES; n++) {
        for (var i = 0u; i < IN_ROWS; i++) {
          for (var j = 0u; j < IN_COLUMNS; j++) {
            let at = (n * IN_ROWS + i) * IN_COLUMNS + j;
            pixel[n][i][j] = subgroupShuffle(loaded[at / LANES], at % LANES);
          }
        }
      }
      var tap = array<array<array<f32, S>, TAP_ROWS>, GROUPS>();
      for (var g = 0u; g < GROUPS; g++) {
        let k = min(k0 + g * LANES, K - 1u);
        let filter_at = select(k * C + c, c * K + k, TRANSPOSED) * R;
        for (var r = 0u; r < TAP_ROWS; r++) {
          for (var s = 0u; s < S; s++) {
            if (R % TAP_ROWS == 0u || r0 + r < R) { tap[g][r][s] = weight[(filter_at + r0 + r) * S + s]; }
          }
        }
      }
      for (var g = 0u; g < GROUPS; g++) {
        for (var n = 0u; n < IMAGES; n++) {
          for (var p = 0u; p < ROWS; p++) {
            for (var q = 0u; q < COLUMNS; q++) {
              for (var r = 0u; r < TAP_ROWS; r++) {
                for (var s = 0u; s < S; s++) {
                  if (TRANSPOSED) {
                    let above = p + ROW_LIFT - r;
                    let left = q + COLUMN_LIFT - s;
                    if (above % STRIDE == 0u && left % STRIDE == 0u) {
                      sum[n][p][q][g] = fma(tap[g][r][s], pixel[n][above / STRIDE - ROW_LOW][left / STRIDE - COLUMN_LOW], sum[n][p][q][g]);
                    }
                  } else {
                    sum[n][p][q][g] = fma(tap[g][r][s], pixel[n][p * ROW_STEP + r][q * COLUMN_STEP + s], sum[n][p][q][g]);
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  for (var g = 0u; g < GROUPS; g++) {
    let k = k0 + g * LANES;
    for (var n = 0u; n < IMAGES; n++) {
      for (var p = 0u; p < ROWS; p++) {
        for (var q = 0u; q < COLUMNS; q++) {
          if (k < K && n0 + n < params.images && p0 + p < P && q0 + q < Q) {
            let at = (((n0 + n) * K + k) * P + p0 + p) * Q + q0 + q;
            if (ACCUMULATE) { y[at] = Stored(f32(y[at]) + sum[n][p][q][g]); } else { y[at] = Stored(sum[n][p][q][g]); }
          }
        }
      }
      if (MOMENTS && k < K && n0 + n < params.images) {
        let tiles = tiles_across * (P / ROWS);
        write_moments(sum[n], g, 2u * (((n0 + n) * tiles + wg.x) * K + k));
      }
    }
  }
}

// Moments of channel `k` of one image over the tile: two passes over numbers in registers.
fn write_moments(values: array<array<array<f32, GROUPS>, COLUMNS>, ROWS>, g: u32, at: u32) {
  var total = 0.0;
  for (var p = 0u; p < ROWS; p++) {
    for (var q = 0u; q < COLUMNS; q++) { total += values[p][q][g]; }
  }
  let mean = total / f32(ROWS * COLUMNS);
  var squares = 0.0;
  for (var p = 0u; p < ROWS; p++) {
    for (var q = 0u; q < COLUMNS; q++) {
      let d = values[p][q][g] - mean;
      squares = fma(d, d, squares);
    }
  }
  moments[at] = mean;
  moments[at + 1u] = squares;
}

// The row of x at the top of the tile for filter rows from r0 on.
fn first_row(p0: u32, r0: u32) -> i32 {
  if (TRANSPOSED) { return i32(p0 / STRIDE + ROW_LOW) - i32(r0 / STRIDE + TAP_ROWS); }
  return i32(p0 * STRIDE + r0) - i32(PADDING);
}

fn first_column(q0: u32) -> i32 {
  if (TRANSPOSED) { return i32(q0 / STRIDE + COLUMN_LOW) - i32(S); }
  return i32(q0 * STRIDE) - i32(PADDING);
}

// Distance of the i-th row that the tile keeps from its first one.
fn row_offset(i: u32) -> u32 {
  return select(i, i / TAP_ROWS * STRIDE + i % TAP_ROWS, !TRANSPOSED && STRIDE > TAP_ROWS);
}

fn column_offset(j: u32) -> u32 {
  return select(j, j / S * STRIDE + j % S, !TRANSPOSED && STRIDE > S);
}
