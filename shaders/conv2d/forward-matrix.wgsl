// conv2d/forward-matrix: convolution on subgroup matrices ("tensor cores"), for f16 activations; with TRANSPOSED its input gradient.
//
//   forward:     y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING] · weight[k,c,r,s]
//   TRANSPOSED:  y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, (p + PADDING − r) / STRIDE, (q + PADDING − s) / STRIDE] · weight[c,k,r,s]
//
// Terms outside x, and those whose division leaves a remainder, are 0. The second is grad-input: x is dy and y is dx. ACCUMULATE adds
// to y instead of overwriting it. Weights are rounded to Component; sums are f32.
//
// A subgroup matrix is spread over the lanes of a subgroup, which load, multiply and store it together; a lane cannot see its elements.
// left [M channels of y, D channels of x] · right [D channels of x, N pixels] adds one tap of the filter for M·N outputs.
// A workgroup computes a tile: TILE_K channels × ROWS rows of each of IMAGES images. For CHANNELS channels of x at a time,
//   1. threads fetch from memory into registers: the part of x that the tile needs (the patch), and FILTER_ROWS rows of the filters' taps;
//   2. they store both in workgroup memory, channels innermost;
//   3. subgroups multiply them, one tap at a time, while the next fetch is under way.
// In workgroup memory the pixels of the patch form a line, in the order [row, column, image]. Neighbouring outputs read neighbouring
// pixels, and from one tap to the next all of them move by the same distance along the line. So any N consecutive pixels are a right
// matrix for every tap, without copies. Images interleave so that a matrix can be longer than a row. With STRIDE s, the patch of
// forward is split into s·s smaller ones, each with every s-th row and column, and a TRANSPOSED tile holds every s-th row and column
// of y (a lattice). Pixels outside x are never stored: workgroup memory starts as 0.
// MOMENTS also writes mean and Σ (y − mean)² of each channel over the tile's part of each image, from the f32 sums; see
// lib/conv2d-matrix-results.wgsl.
// Dispatch: (ceil(K / TILE_K) · lattices, a, b) with a·b ≥ ceil(rows of a lattice / ROWS) · ceil(images / IMAGES).
// @products BLOCKS_M * BLOCKS_N * CHANNELS / D * FILTER_ROWS * S

// @import lib/loop.wgsl
// @import lib/conv2d-matrix-results.wgsl

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;

override C: u32;
override H: u32;
override W: u32;
override K: u32;
override P: u32;
override Q: u32;
override ACCUMULATE: bool = false;
alias Stored = vec4h;             // @spec  WIDTH neighbours of a row of x
const WIDTH: u32 = 4u;            // @spec  4 where it divides W, else 1
alias StoredY = f16;              // @spec
alias Component = f16;            // @spec  element type of the matrices that are multiplied
const M: u32 = 8u;                // @spec
const N: u32 = 8u;                // @spec
const D: u32 = 8u;                // @spec
const LANES: u32 = 8u;            // @spec  lanes of a subgroup
const SUBGROUPS_M: u32 = 1u;      // @spec  subgroups of a workgroup, along the channels of y
const SUBGROUPS_N: u32 = 4u;      // @spec  and along its pixels
const BLOCKS_M: u32 = 1u;         // @spec  matrices of sums per subgroup, likewise
const BLOCKS_N: u32 = 2u;         // @spec
const CHANNELS: u32 = 8u;         // @spec  channels of x per step, a multiple of D
const FILTER_ROWS: u32 = 3u;      // @spec  rows of taps per step
const ROWS: u32 = 8u;             // @spec  rows of a tile, in each image
const COLUMNS: u32 = 8u;          // @spec  columns of a lattice, rounded up to whole matrices
const IMAGES: u32 = 1u;           // @spec  images of a tile, at most N / 4
const GROUPS: u32 = 2u;           // @spec  W / WIDTH
const R: u32 = 3u;                // @spec
const S: u32 = 3u;                // @spec
const STRIDE: u32 = 1u;           // @spec
const PADDING: u32 = 1u;          // @spec
const TRANSPOSED: bool = false;   // @spec
const MOMENTS: bool = false;      // @spec

const SUBGROUPS = SUBGROUPS_M * SUBGROUPS_N;
const THREADS = SUBGROUPS * LANES;
const TILE_K = SUBGROUPS_M * BLOCKS_M * M;
const QUADS = CHANNELS / 4u;
const PIXEL = QUADS + 2u;         // vec4 per pixel and per filter, with 8 numbers of padding, so that lanes use different banks
const X_STEP = select(STRIDE, 1u, TRANSPOSED);  // distance in x between the pixels that neighbouring outputs read
const Y_STEP = select(1u, STRIDE, TRANSPOSED);  // distance in y between neighbours of a lattice
const TAP_ROWS = (R + Y_STEP - 1u) / Y_STEP;    // at most, of a lattice
const TAP_COLUMNS = (S + Y_STEP - 1u) / Y_STEP;
const PHASES_DOWN = min(X_STEP, R);             // smaller patches, without those that no tap reads
const PHASES_ACROSS = min(X_STEP, S);
const PATCH_ROWS = ROWS + (TAP_ROWS - 1u) / X_STEP;
const PITCH = COLUMNS + (TAP_COLUMNS - 1u) / X_STEP;
const PLANE = PATCH_ROWS * PITCH * IMAGES;
const BLOCKS_OF_ROW = COLUMNS * IMAGES / N;
const PATCH_ITEMS = GROUPS * PATCH_ROWS * PHASES_DOWN * IMAGES * QUADS;
const PATCH_LOADS = (PATCH_ITEMS + THREADS - 1u) / THREADS;
const STEP_TAPS = FILTER_ROWS * TAP_COLUMNS;    // at most
const FILTER_ITEMS = STEP_TAPS * TILE_K * QUADS;
const FILTER_LOADS = (FILTER_ITEMS + THREADS - 1u) / THREADS;
const QUADS_N = N / 4u;
const PIECES = (SUBGROUPS * M * QUADS_N + THREADS - 1u) / THREADS;  // vec4 that a thread writes to y per round
// A matrix load must start at a multiple of 16 bytes.
const_assert CHANNELS % 8u == 0u && CHANNELS % D == 0u && D % 8u == 0u && N % 4u == 0u;
const_assert COLUMNS * IMAGES % N == 0u && N % (4u * IMAGES) == 0u;

alias Left = subgroup_matrix_left<Component, D, M>;
alias Right = subgroup_matrix_right<Component, N, D>;
alias Sums = subgroup_matrix_result<f32, N, M>;

@group(0) @binding(0) var<storage, read> x: array<Stored>;           // [N, C, H, W]
@group(0) @binding(1) var<storage, read> weight: array<f32>;         // [K, C, R, S]; TRANSPOSED [C, K, R, S]
@group(0) @binding(2) var<storage, read_write> y: array<StoredY>;    // [N, K, P, Q]
@group(0) @binding(3) var<storage, read_write> moments: array<f32>;  // [N, tiles of an image, K, 2], any buffer without MOMENTS
struct Params { images: u32, channels: u32, tiles: u32 }             // N; C; tiles of an image
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> patch_tile: array<vec4<Component>, PHASES_DOWN * PHASES_ACROSS * PLANE * PIXEL>;  // [phase, row, column, image, channel]
var<workgroup> filter_tile: array<vec4<Component>, STEP_TAPS * TILE_K * PIXEL>;                  // [tap, channel of y, channel of x]
var<workgroup> scratch: array<f32, SUBGROUPS * M * N * ((BLOCKS_M + 1u) / 2u)>;
var<workgroup> means: array<f32, select(1u, TILE_K * IMAGES, MOMENTS)>;

// A lattice along rows or columns: its first output and their number, its first tap and their number, the first pixel of x that it reads.
struct Lattice { first: u32, count: u32, tap: u32, taps: u32, origin: u32 }
// First channel of y, first image and first row (in its lattice) of a tile.
struct Corner { channel: u32, image: u32, row: u32 }

alias PatchShare = array<array<vec4<Component>, 4>, PATCH_LOADS>;
alias FilterShare = array<vec4f, FILTER_LOADS>;
alias Values = array<vec4f, BLOCKS_M * BLOCKS_N * PIECES>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let tiles_k = (K + TILE_K - 1u) / TILE_K;
  let rows = lattice(wg.x / tiles_k / Y_STEP, P, R);
  let columns = lattice(wg.x / tiles_k % Y_STEP, Q, S);
  let tile = wg.z * grid.y + wg.y;
  let corner = Corner(wg.x % tiles_k * TILE_K, tile / params.tiles * IMAGES, tile % params.tiles * ROWS);
  // If subgroups have fewer lanes than LANES, there are more subgroups; the extra ones only help with steps 1 and 2.
  let multiplies = subgroup < SUBGROUPS;
  let block_m = subgroup % SUBGROUPS_M * BLOCKS_M;
  let block_n = subgroup / SUBGROUPS_M * BLOCKS_N;

  var patch_share = PatchShare();
  var filter_share = FilterShare();
  var sums: array<array<Sums, BLOCKS_N>, BLOCKS_M>;
  // One iteration more than there are steps: each fetches its own step and multiplies the one fetched before it.
  var c0 = select(params.channels, 0u, rows.taps * columns.taps > 0u);
  var r = 0u;
  var last_r = 0u;
  for (var iteration = 0; iteration < FOREVER; iteration++) {
    let fetches = c0 < params.channels;
    if (fetches) {
      fetch_filters(corner.channel, c0, r, rows, columns, thread, &filter_share);
      if (r == 0u) { fetch_patch(corner, c0, rows.origin, thread, &patch_share); }
    }
    if (iteration > 0 && multiplies) {
      for (var step_tap = 0u; step_tap < STEP_TAPS; step_tap++) {
        let tap_row = last_r + step_tap / TAP_COLUMNS;
        let tap_column = step_tap % TAP_COLUMNS;
        if (tap_row >= rows.taps || tap_column >= columns.taps) { continue; }
        let tap = tap_place(tap_row, tap_column, rows.taps, columns.taps);
        for (var d = 0u; d < QUADS; d += D / 4u) {
          var left: array<Left, BLOCKS_M>;
          for (var i = 0u; i < BLOCKS_M; i++) {
            left[i] = subgroupMatrixLoad<Left, row_major>(&filter_tile, (step_tap * TILE_K + (block_m + i) * M) * PIXEL + d, PIXEL);
          }
          for (var j = 0u; j < BLOCKS_N; j++) {
            let right = subgroupMatrixLoad<Right, col_major>(&patch_tile, (block_place(block_n + j) + tap) * PIXEL + d, PIXEL);
            for (var i = 0u; i < BLOCKS_M; i++) { sums[i][j] = subgroupMatrixMultiplyAccumulate(left[i], right, sums[i][j]); }
          }
        }
      }
    }
    workgroupBarrier();  // every thread has read the previous step
    if (!fetches) { break; }
    store_filters(thread, &filter_share);
    if (r == 0u) { store_patch(corner, c0, rows.origin, columns.origin, thread, &patch_share); }
    workgroupBarrier();
    last_r = r;
    r += FILTER_ROWS;
    if (r >= rows.taps) {
      r = 0u;
      c0 += CHANNELS;
    }
  }

  // The sums are matrices, whose elements are visible only through workgroup memory: each round stores one matrix per subgroup.
  var values = Values();
  for (var i = 0u; i < BLOCKS_M; i++) {
    for (var j = 0u; j < BLOCKS_N; j++) {
      if (multiplies) { subgroupMatrixStore<row_major>(&scratch, subgroup * M * N, sums[i][j], N); }
      workgroupBarrier();
      for (var t = 0u; t < PIECES; t++) {
        var it = Piece();
        find_piece(thread, t, i, j, &it);
        write(corner, rows, columns, it, (i * BLOCKS_N + j) * PIECES + t, &values);
      }
      workgroupBarrier();
    }
  }
  if (MOMENTS) { write_moments(corner, thread, tile % params.tiles, rows.count, columns.count, &values); }
}

// The lattice of a remainder modulo STRIDE. An origin above or left of x wraps around.
fn lattice(remainder: u32, size: u32, filter_size: u32) -> Lattice {
  if (!TRANSPOSED) { return Lattice(0u, size, 0u, filter_size, 0u - PADDING); }
  let tap = (remainder + PADDING) % STRIDE;
  let taps = count_from(tap, filter_size);
  return Lattice(remainder, count_from(remainder, size), tap, taps, (remainder + PADDING - tap) / STRIDE + 1u - taps);
}

// How many of first, first + STRIDE, … are below `size`.
fn count_from(first: u32, size: u32) -> u32 { return select(0u, (size - first + STRIDE - 1u) / STRIDE, first < size); }

// Distance on the patch's line from the pixel of the first tap to that of tap (r, s) of a lattice.
fn tap_place(r: u32, s: u32, taps_down: u32, taps_across: u32) -> u32 {
  if (TRANSPOSED) { return ((taps_down - 1u - r) * PITCH + taps_across - 1u - s) * IMAGES; }
  return (r % STRIDE * PHASES_ACROSS + s % STRIDE) * PLANE + (r / STRIDE * PITCH + s / STRIDE) * IMAGES;
}

// The first pixel of a matrix on the line. What matrices past the last row compute is not used.
fn block_place(block: u32) -> u32 {
  return select(0u, block / BLOCKS_OF_ROW * PITCH * IMAGES + block % BLOCKS_OF_ROW * N, block < ROWS * BLOCKS_OF_ROW);
}

// What a thread fetches of the patch and later stores: WIDTH neighbours of row h of x, in four channels; nothing if h ≥ H.
struct PatchItem { group: u32, row: u32, phase: u32, image: u32, quad: u32, h: u32 }

fn find_patch_item(corner: Corner, origin: u32, item: u32, it: ptr<function, PatchItem>) {
  let row = item / GROUPS % PATCH_ROWS;
  let phase = item / (GROUPS * PATCH_ROWS) % PHASES_DOWN;
  let image = item / (GROUPS * PATCH_ROWS * PHASES_DOWN) % IMAGES;
  let quad = item / (GROUPS * PATCH_ROWS * PHASES_DOWN * IMAGES);
  let h = origin + (corner.row + row) * X_STEP + phase;  // wraps around above x
  let exists = item < PATCH_ITEMS && corner.image + image < params.images;
  *it = PatchItem(item % GROUPS, row, phase, image, quad, select(H, h, exists));
}

// Step 1. Channels beyond C are 0; if CHANNELS divides C, the compiler drops the test.
fn fetch_patch(corner: Corner, c0: u32, origin: u32, thread: u32, share: ptr<function, PatchShare>) {
  for (var i = 0u; i < PATCH_LOADS; i++) {
    var it = PatchItem();
    find_patch_item(corner, origin, thread + i * THREADS, &it);
    for (var v = 0u; v < 4u; v++) {
      let c = c0 + 4u * it.quad + v;
      let exists = it.h < H && (C % CHANNELS == 0u || c < C);
      let at = select(0u, (((corner.image + it.image) * C + c) * H + it.h) * GROUPS + it.group, exists);
      (*share)[i][v] = select(vec4<Component>(), vec4<Component>(x[at]), exists);
    }
  }
}

// Step 2: four channels of a pixel are a vec4.
fn store_patch(corner: Corner, c0: u32, origin: u32, left: u32, thread: u32, share: ptr<function, PatchShare>) {
  for (var i = 0u; i < PATCH_LOADS; i++) {
    var it = PatchItem();
    find_patch_item(corner, origin, thread + i * THREADS, &it);
    for (var v = 0u; v < WIDTH; v++) {
      let column = it.group * WIDTH + v - left;  // wraps around left of the patch
      let phase = it.phase * PHASES_ACROSS + column % X_STEP;
      let place = phase * PLANE + (it.row * PITCH + column / X_STEP) * IMAGES + it.image;
      if (it.h < H && column / X_STEP < PITCH && column % X_STEP < PHASES_ACROSS) {
        let four = &(*share)[i];
        patch_tile[place * PIXEL + it.quad] = vec4<Component>((*four)[0][v], (*four)[1][v], (*four)[2][v], (*four)[3][v]);
      }
    }
  }
}

// What a thread fetches of the filters: one tap of four channels of x. Neighbouring lanes take neighbouring taps, then neighbouring
// weights in memory.
struct FilterItem { tap: u32, m: u32, quad: u32 }

fn find_filter_item(item: u32, it: ptr<function, FilterItem>) {
  let rest = item / STEP_TAPS;
  if (TRANSPOSED) { *it = FilterItem(item % STEP_TAPS, rest % TILE_K, rest / TILE_K); }
  else { *it = FilterItem(item % STEP_TAPS, rest / QUADS, rest % QUADS); }
}

fn fetch_filters(k0: u32, c0: u32, r0: u32, rows: Lattice, columns: Lattice, thread: u32, share: ptr<function, FilterShare>) {
  for (var i = 0u; i < FILTER_LOADS; i++) {
    var it = FilterItem();
    find_filter_item(thread + i * THREADS, &it);
    let r = r0 + it.tap / TAP_COLUMNS;
    let s = it.tap % TAP_COLUMNS;
    let tap = (rows.tap + r * Y_STEP) * S + columns.tap + s * Y_STEP;
    let k = k0 + it.m;
    let is_tap = ((K % TILE_K == 0u && FILTER_ITEMS % THREADS == 0u) || k < K) && r < rows.taps && s < columns.taps;
    var four = vec4f();
    for (var v = 0u; v < 4u; v++) {
      let c = c0 + 4u * it.quad + v;
      let exists = is_tap && (C % CHANNELS == 0u || c < C);
      let at = select(k * C + c, c * K + k, TRANSPOSED) * (R * S) + tap;
      four[v] = select(0.0, weight[select(0u, at, exists)], exists);
    }
    (*share)[i] = four;
  }
}

fn store_filters(thread: u32, share: ptr<function, FilterShare>) {
  for (var i = 0u; i < FILTER_LOADS; i++) {
    let item = thread + i * THREADS;
    var it = FilterItem();
    find_filter_item(item, &it);
    if (FILTER_ITEMS % THREADS == 0u || item < FILTER_ITEMS) {
      filter_tile[(it.tap * TILE_K + it.m) * PIXEL + it.quad] = vec4<Component>((*share)[i]);
    }
  }
}
