// conv2d/grad-weight-matrix: partial sums of the weight gradient on subgroup matrices ("tensor cores"), for f16 activations.
//
//   partials[i,k,c,r,s] = Σ dy[n,k,p,q] · x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING]
//
// over the output pixels (n, p, q) of the i-th run of `tiles_per_split` tiles; x outside its border is 0. A tile is ROWS rows of each of
// IMAGES images. reduce/sum-rows adds up the runs in order, so the result has the same bits every time.
//
// left [M channels of dy, D pixels] · right [D pixels, N channels of x] adds D pixels to one tap's M·N weights (conv2d/forward-matrix
// says what a subgroup matrix is). A workgroup computes TAP_ROWS rows of taps of TILE_K × TILE_C pairs of channels. For each tile
//   1. threads fetch dy and the part of x that the tile needs (the patch), while the previous tile is multiplied;
//   2. they store both in workgroup memory, pixels innermost;
//   3. SUBGROUPS_D subgroups share the pixels; each keeps sums of all taps, and the sums are added up in order at the end.
// The pixels of a tile form a line, in the order [row, image, column]. For each column s of the filter the patch is stored in the order
// of dy, moved by s; for STRIDE 2 its even rows come before its odd ones. So from one tap to the next, the pixels that D pixels of dy are
// multiplied with move along the line by whole rows, and every matrix begins at a multiple of 16 bytes, as the hardware demands.
// Dispatch: (ceil(K / TILE_K), ceil(C / TILE_C) · ceil(R / TAP_ROWS), splits).
// @products BLOCKS_M * BLOCKS_N * TAP_ROWS * S * ROWS * IMAGES * COLUMNS / D / SUBGROUPS_D

// @import lib/loop.wgsl

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;

override C: u32;
override H: u32;
override W: u32;
override K: u32;
override P: u32;
override Q: u32;
alias StoredX = vec4h;            // @spec  WIDTH_X neighbours of a row
alias StoredDy = vec4h;           // @spec  WIDTH_DY
const WIDTH_X: u32 = 4u;          // @spec  4 where it divides W, else 1
const WIDTH_DY: u32 = 4u;         // @spec  4 where it divides Q, else 1
alias Component = f16;            // @spec  element type of the matrices that are multiplied
const M: u32 = 8u;                // @spec
const N: u32 = 8u;                // @spec
const D: u32 = 8u;                // @spec
const LANES: u32 = 8u;            // @spec  lanes of a subgroup
const SUBGROUPS_M: u32 = 1u;      // @spec  subgroups of a workgroup, along the channels of dy
const SUBGROUPS_D: u32 = 4u;      // @spec  and along pixels
const BLOCKS_M: u32 = 1u;         // @spec  matrices per subgroup and tap, along the channels of dy
const BLOCKS_N: u32 = 1u;         // @spec  and along those of x
const ROWS: u32 = 8u;             // @spec  rows of a tile, in each image
const IMAGES: u32 = 1u;           // @spec  images of a tile
const COLUMNS: u32 = 8u;          // @spec  columns of dy, and as many after them as it takes to align rows
const TAP_ROWS: u32 = 3u;         // @spec  a multiple of STRIDE, or R
const R: u32 = 3u;                // @spec
const S: u32 = 3u;                // @spec
const STRIDE: u32 = 1u;           // @spec
const PADDING: u32 = 1u;          // @spec

const SUBGROUPS = SUBGROUPS_M * SUBGROUPS_D;
const THREADS = SUBGROUPS * LANES;
const TILE_K = SUBGROUPS_M * BLOCKS_M * M;
const TILE_C = BLOCKS_N * N;
const TAPS = TAP_ROWS * S;
const QUADS_OF_ROW = COLUMNS / 4u;                // lengths of lines are counted in vec4
const ROW = IMAGES * QUADS_OF_ROW;
const PHASES = min(STRIDE, TAP_ROWS);
const PLANE_ROWS = ROWS + (TAP_ROWS - 1u) / STRIDE;  // rows of a phase of the patch, which holds every STRIDE-th row
const PLANE = PLANE_ROWS * ROW;
const DY_LINE = (ROWS * ROW / 4u * 2u + 1u) * 2u; // odd multiples of 16 bytes, so that neighbouring channels are in different banks
const X_LINE = (S * PHASES * PLANE / 4u * 2u + 1u) * 2u;
const BLOCKS_D = ROWS * ROW * 4u / D;
const WINDOW = 3u * STRIDE + S;                   // neighbours in a row of x that four outputs read
const DY_ITEMS = TILE_K * ROWS * ROW;
const DY_LOADS = (DY_ITEMS + THREADS - 1u) / THREADS;
const X_ITEMS = TILE_C * PHASES * PLANE;
const X_LOADS = (X_ITEMS + THREADS - 1u) / THREADS;
// Matrices are loaded from multiples of 16 bytes, and must not cross the end of a line.
const_assert COLUMNS % 4u == 0u && ROW % 2u == 0u && D % 8u == 0u && (ROWS * ROW * 4u) % D == 0u;
const_assert TAP_ROWS % STRIDE == 0u || TAP_ROWS == R;

alias Left = subgroup_matrix_left<Component, D, M>;
alias Right = subgroup_matrix_right<Component, N, D>;
alias Sums = subgroup_matrix_result<f32, N, M>;

@group(0) @binding(0) var<storage, read> x: array<StoredX>;           // [N, C, H, W]
@group(0) @binding(1) var<storage, read> dy: array<StoredDy>;         // [N, K, P, Q]
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;  // [splits, K, C, R, S]
struct Params { images: u32, tiles: u32, tiles_per_split: u32 }       // tiles of all images; tiles of a run
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> dy_tile: array<vec4<Component>, TILE_K * DY_LINE>;  // [channel, row, image, column]
var<workgroup> x_tile: array<vec4<Component>, TILE_C * X_LINE>;    // [channel, s, phase, row, image, column]
var<workgroup> scratch: array<f32, SUBGROUPS * M * N>;

// Tiles of an image.
override TILES_DOWN: u32 = (P + ROWS - 1u) / ROWS;

// Channels of a workgroup, and its first row of taps.
struct Corner { k: u32, c: u32, tap_row: u32 }

alias DyShare = array<vec4<Component>, DY_LOADS>;
alias XShare = array<array<Component, WINDOW>, X_LOADS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let tiles_c = (C + TILE_C - 1u) / TILE_C;
  let corner = Corner(wg.x * TILE_K, wg.y % tiles_c * TILE_C, wg.y / tiles_c * TAP_ROWS);
  // If subgroups have fewer lanes than LANES, there are more subgroups; the extra ones only help with steps 1 and 2.
  let multiplies = subgroup < SUBGROUPS;
  let block_m = subgroup % SUBGROUPS_M * BLOCKS_M;

  var dy_share = DyShare();
  var x_share = XShare();
  var sums: array<array<array<Sums, TAPS>, BLOCKS_N>, BLOCKS_M>;
  var tile = wg.z * params.tiles_per_split;
  let end = min(params.tiles, tile + params.tiles_per_split);
  // One iteration more than there are tiles: each fetches its own tile and multiplies the one fetched before it.
  for (var iteration = 0; iteration < FOREVER; iteration++) {
    let fetches = tile < end;
    if (fetches) {
      fetch_dy(corner, tile, thread, &dy_share);
      fetch_x(corner, tile, thread, &x_share);
    }
    if (iteration > 0 && multiplies) {
      for (var d = subgroup / SUBGROUPS_M; d < BLOCKS_D; d += SUBGROUPS_D) {
        let place = d * (D / 4u);
        var left: array<Left, BLOCKS_M>;
        for (var i = 0u; i < BLOCKS_M; i++) {
          left[i] = subgroupMatrixLoad<Left, row_major>(&dy_tile, (block_m + i) * M * DY_LINE + place, DY_LINE);
        }
        for (var t = 0u; t < TAPS; t++) {
          let tap = (t % S * PHASES + t / S % STRIDE) * PLANE + t / S / STRIDE * ROW;
          for (var j = 0u; j < BLOCKS_N; j++) {
            let right = subgroupMatrixLoad<Right, col_major>(&x_tile, j * N * X_LINE + tap + place, X_LINE);
            for (var i = 0u; i < BLOCKS_M; i++) { sums[i][j][t] = subgroupMatrixMultiplyAccumulate(left[i], right, sums[i][j][t]); }
          }
        }
      }
    }
    workgroupBarrier();  // every thread has read the previous tile
    if (!fetches) { break; }
    store_dy(thread, &dy_share);
    store_x(thread, &x_share);
    workgroupBarrier();
    tile++;
  }

  // The sums are matrices, whose elements are visible only through workgroup memory: each round stores one matrix per subgroup.
  for (var i = 0u; i < BLOCKS_M; i++) {
    for (var j = 0u; j < BLOCKS_N; j++) {
      for (var t = 0u; t < TAPS; t++) {
        if (multiplies) { subgroupMatrixStore<row_major>(&scratch, subgroup * M * N, sums[i][j][t], N); }
        workgroupBarrier();
        write(corner, wg.z, thread, i, j, t);
        workgroupBarrier();
      }
    }
  }
}

// Four neighbours in a row of a tile: their image, their row, and the first one's column in the tile.
struct Quad { image: u32, row: u32, column: u32 }

fn find_quad(place: u32, it: ptr<function, Quad>) {
  *it = Quad(place / QUADS_OF_ROW % IMAGES, place / ROW, place % QUADS_OF_ROW * 4u);
}

// Step 1 of dy. Pixels beyond it are 0. Channels beyond K hold other numbers, but their sums are not written.
fn fetch_dy(corner: Corner, tile: u32, thread: u32, share: ptr<function, DyShare>) {
  for (var i = 0u; i < DY_LOADS; i++) {
    let item = thread + i * THREADS;
    var it = Quad();
    find_quad(item % (ROWS * ROW), &it);
    let k = min(corner.k + item / (ROWS * ROW), K - 1u);
    let image = tile / TILES_DOWN * IMAGES + it.image;
    let p = tile % TILES_DOWN * ROWS + it.row;
    let is_row = image < params.images && (P % ROWS == 0u || p < P);
    let at = ((image * K + k) * P + p) * Q + it.column;
    if (WIDTH_DY == 4u) {
      let exists = is_row && it.column < Q;
      (*share)[i] = select(vec4<Component>(), vec4<Component>(dy[select(0u, at / 4u, exists)]), exists);
    } else {
      for (var v = 0u; v < 4u; v++) {
        let exists = is_row && it.column + v < Q;
        (*share)[i][v] = select(Component(), vec4<Component>(dy[select(0u, at + v, exists)])[0], exists);
      }
    }
  }
}

// Step 1 of x: the WINDOW that four outputs read over all taps of a row.
fn fetch_x(corner: Corner, tile: u32, thread: u32, share: ptr<function, XShare>) {
  for (var i = 0u; i < X_LOADS; i++) {
    let item = thread + i * THREADS;
    var it = Quad();
    find_quad(item % PLANE, &it);
    let phase = item / PLANE % PHASES;
    let c = min(corner.c + item / (PLANE * PHASES), C - 1u);
    let image = tile / TILES_DOWN * IMAGES + it.image;
    // Rows and columns above or left of x wrap around, so the tests against H and W reject them.
    let h = (tile % TILES_DOWN * ROWS + it.row) * STRIDE + phase + corner.tap_row - PADDING;
    let is_row = image < params.images && h < H;
    let row = ((image * C + c) * H + h) * W;
    for (var v = 0u; v < WINDOW; v++) {
      // A group of WIDTH numbers is one load.
      let group = (v + (WIDTH_X - 1u) * PADDING) / WIDTH_X - PADDING;
      let w = it.column * STRIDE + group * WIDTH_X;
      let exists = is_row && w < W;
      let four = vec4<Component>(x[select(0u, (row + w) / WIDTH_X, exists)]);
      (*share)[i][v] = select(Component(), four[(v + (WIDTH_X - 1u) * PADDING) % WIDTH_X], exists);
    }
  }
}

// Step 2.
fn store_dy(thread: u32, share: ptr<function, DyShare>) {
  for (var i = 0u; i < DY_LOADS; i++) {
    let item = thread + i * THREADS;
    if (DY_ITEMS % THREADS == 0u || item < DY_ITEMS) {
      dy_tile[item / (ROWS * ROW) * DY_LINE + item % (ROWS * ROW)] = (*share)[i];
    }
  }
}

fn store_x(thread: u32, share: ptr<function, XShare>) {
  for (var i = 0u; i < X_LOADS; i++) {
    let item = thread + i * THREADS;
    if (X_ITEMS % THREADS == 0u || item < X_ITEMS) {
      for (var s = 0u; s < S; s++) {
        let window = &(*share)[i];
        let four = vec4<Component>((*window)[s], (*window)[s + STRIDE], (*window)[s + 2u * STRIDE], (*window)[s + 3u * STRIDE]);
        x_tile[item / (PLANE * PHASES) * X_LINE + s * PHASES * PLANE + item % (PLANE * PHASES)] = four;
      }
    }
  }
}

// From scratch to the partial sums: adds up the sums of a tap (i, j, t) over the subgroups that share the pixels.
fn write(corner: Corner, split: u32, thread: u32, i: u32, j: u32, t: u32) {
  for (var item = thread; item < SUBGROUPS_M * M * N; item += THREADS) {
    let k = corner.k + (item / (M * N) * BLOCKS_M + i) * M + item / N % M;
    let c = corner.c + j * N + item % N;
    let r = corner.tap_row + t / S;
    if (k < K && c < C && r < R) {
      var total = 0.0;
      for (var d = 0u; d < SUBGROUPS_D; d++) { total += scratch[d * SUBGROUPS_M * M * N + item]; }
      partials[(((split * K + k) * C + c) * R + r) * S + t % S] = total;
    }
  }
}
