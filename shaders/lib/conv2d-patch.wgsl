// lib/conv2d-patch: a convolution's sums from a patch of the image in workgroup memory, for the kernels named …-patch.
//
// These kernels differ in what they do with the sums. A workgroup computes a tile: TM·THREADS_M channels of ROWS·DOWN × 4·ACROSS pixels
// of each of IMAGES images. DEPTH input channels at a time it
//   1. fetches into registers the filters and the part of x that the tile's windows cover (the patch), each thread its share;
//   2. stores them in workgroup memory, where all threads see them;
//   3. multiplies: a thread computes TM channels × ROWS rows × 4 columns. It reads a row of its window once for all S columns
//      of the filter, and with STRIDE 1 keeps it for the next row of the filter; and each weight once for its 4·ROWS pixels.
// While one step is multiplied, the next is fetched from memory. For 3×3 and 8 × 8 outputs that is 64 multiply-adds per 43 bytes.
// From step to step only the channel of a number in x changes, so all bounds tests are made once, before the loop. Pixels outside
// the image are never stored, and their places in the patch stay 0, because workgroup memory starts as 0.
// Threads (m, n) are arranged in blocks of BLOCK_M × BLOCK_N. A thread holds vec4 sum[(4·g + v)·ROWS + row] of channel
// v·QUADS_M + m·GROUPS_M + g for g < GROUPS_M and v < 4.
// The importing file declares x, weight, params with images and channels, TRANSPOSED, and SHARES: whether it uses
// lib/conv2d-shares after the sums.

override C: u32;
override H: u32;
override W: u32;
override K: u32;
override P: u32;
override Q: u32;
override PADDING: u32;
const R: u32 = 3u;            // @spec
const S: u32 = 3u;            // @spec
const STRIDE: u32 = 1u;       // @spec  1 with TRANSPOSED
const TM: u32 = 8u;           // @spec  output channels per thread, a multiple of 4
const ROWS: u32 = 2u;         // @spec  rows of pixels per thread, which has 4 columns
const THREADS_M: u32 = 8u;    // @spec
const ACROSS: u32 = 2u;       // @spec  threads side by side along a row of the tile
const DOWN: u32 = 4u;         // @spec  threads along a column of the tile
const IMAGES: u32 = 2u;       // @spec  images of a tile
const DEPTH: u32 = 4u;        // @spec  input channels per step
const ROW_QUADS: u32 = 3u;    // @spec  length of a row of the patch in vec4, padded so that lanes use different banks
const IMAGE_QUADS: u32 = 30u; // @spec  length of the whole patch of one image in vec4

const TAPS = R * S;
const THREADS_N = ACROSS * DOWN * IMAGES;
const THREADS = THREADS_M * THREADS_N;
const TILE_M = TM * THREADS_M;
const TILE_ROWS = ROWS * DOWN;
const TILE_COLUMNS = 4u * ACROSS;
const QUADS_M = TILE_M / 4u;  // vec4 of a weight's place in workgroup memory: channels q, q + QUADS_M, q + 2·QUADS_M, q + 3·QUADS_M
const GROUPS_M = TM / 4u;
const PIECES = ROWS;             // vec4 of pixels per thread, for lib/conv2d-moments
const WINDOW = 3u * STRIDE + S;  // numbers of a row of x that four neighbouring pixels need
const PATCH_ROWS = (TILE_ROWS - 1u) * STRIDE + R;
const PATCH_COLUMNS = (TILE_COLUMNS - 1u) * STRIDE + S;
const PATCH = IMAGES * PATCH_ROWS * PATCH_COLUMNS;
const CHANNEL = 4u * IMAGES * IMAGE_QUADS;  // length of a channel of the patch in workgroup memory
// The last place in vec4 at which a thread's windows begin.
const LAST_WINDOW =
  (IMAGES - 1u) * IMAGE_QUADS + (DOWN - 1u) * ROWS * STRIDE * ROW_QUADS + (ACROSS - 1u) * STRIDE;
const_assert TM % 4u == 0u && PATCH_COLUMNS <= 4u * ROW_QUADS && PATCH_ROWS * ROW_QUADS <= IMAGE_QUADS;
const PATCH_LOADS = (PATCH + THREADS - 1u) / THREADS;                       // per thread and channel
const WEIGHT_LOADS = (DEPTH * TAPS * QUADS_M + THREADS - 1u) / THREADS;     // per thread, four weights each
// Neighbouring lanes store neighbouring taps; an odd stride puts them in different banks.
const WEIGHT_STRIDE = QUADS_M + 1u;
// Every 32 threads form a block of up to 4 × 8, so that they share most of what they read of both tiles.
const BLOCK_M = min(THREADS_M, 4u);
const BLOCK_N = min(THREADS_N, 32u / BLOCK_M);

var<workgroup> patch_tile: array<f32, DEPTH * CHANNEL>;
// [DEPTH, R, S, QUADS_M]; after the sums, with SHARES, it holds the threads' shares of their channels.
var<workgroup> weight_tile: array<vec4f, max(DEPTH * TAPS * WEIGHT_STRIDE, select(0u, QUADS_M * THREADS_N, SHARES))>;

// The numbers that a thread fetches in every step: their places in memory in the first step, and in workgroup memory.
struct PatchPlan { sources: array<u32, PATCH_LOADS>, places: array<u32, PATCH_LOADS> }
struct WeightPlan { sources: array<u32, WEIGHT_LOADS>, places: array<u32, WEIGHT_LOADS> }
const NOWHERE = 0xffffffffu;  // a place: not to be stored

alias PatchShare = array<f32, DEPTH * PATCH_LOADS>;
alias WeightShare = array<vec4f, WEIGHT_LOADS>;
alias Sums = array<vec4f, TM * ROWS>;

// First output channel, image, row and column of a tile. Tiles run over columns, then rows, then images.
struct Corner { channel: u32, image: u32, row: u32, column: u32 }
override TILES_ACROSS: u32 = (Q + TILE_COLUMNS - 1u) / TILE_COLUMNS;
override TILES_DOWN: u32 = (P + TILE_ROWS - 1u) / TILE_ROWS;
override TILES: u32 = TILES_ACROSS * TILES_DOWN;  // of an image

// Adds all products of a thread to its sums.
fn convolve(corner: Corner, lane: u32, m: u32, n: u32, sum: ptr<function, Sums>) {
  var patch_plan = PatchPlan();
  var weight_plan = WeightPlan();
  plan_patch(corner, lane, &patch_plan);
  plan_weights(corner.channel, lane, &weight_plan);
  var patch_share = PatchShare();
  var weight_share = WeightShare();
  // One iteration more than there are steps: each fetches its own channels and multiplies those fetched before it.
  var c0 = 0u;
  for (var iteration = 0; iteration < FOREVER; iteration++) {
    let fetches = c0 < params.channels;
    if (fetches) { fetch(c0, lane, &patch_plan, &weight_plan, &patch_share, &weight_share); }
    if (iteration > 0) { multiply(m, n, sum); }
    workgroupBarrier();  // every thread has read the previous step's tiles
    if (!fetches) { break; }
    store(&patch_plan, &weight_plan, &patch_share, &weight_share);
    workgroupBarrier();
    c0 += DEPTH;
  }
}

// The places of the patch that this thread fetches. Rows and columns above or left of the image wrap around, so the tests against H and W
// reject them.
fn plan_patch(corner: Corner, lane: u32, plan: ptr<function, PatchPlan>) {
  let border_rows = select(PADDING, R - 1u - PADDING, TRANSPOSED);
  let border_columns = select(PADDING, S - 1u - PADDING, TRANSPOSED);
  for (var i = 0u; i < PATCH_LOADS; i++) {
    let item = lane + i * THREADS;
    let column = item % PATCH_COLUMNS;
    let row = item / PATCH_COLUMNS % PATCH_ROWS;
    let image = item / (PATCH_COLUMNS * PATCH_ROWS);
    let h = corner.row * STRIDE + row - border_rows;
    let w = corner.column * STRIDE + column - border_columns;
    let source = ((corner.image + image) * C * H + h) * W + w;
    let place = 4u * (image * IMAGE_QUADS + row * ROW_QUADS) + column;
    let exists = item < PATCH && h < H && w < W && corner.image + image < params.images;
    (*plan).sources[i] = select(0u, source, exists);
    (*plan).places[i] = select(NOWHERE, place, exists);
  }
}

// The places of the filters likewise, four weights each, of channels QUADS_M apart. Neighbouring lanes take neighbours in memory:
// [quad, d, tap], or TRANSPOSED [d, quad, tap]. A tap of a TRANSPOSED filter goes to its mirror image.
fn plan_weights(k0: u32, lane: u32, plan: ptr<function, WeightPlan>) {
  for (var i = 0u; i < WEIGHT_LOADS; i++) {
    let item = lane + i * THREADS;
    let tap = item % TAPS;
    let d = select(item / TAPS % DEPTH, item / (TAPS * QUADS_M), TRANSPOSED);
    let quad = select(item / (TAPS * DEPTH), item / TAPS % QUADS_M, TRANSPOSED);
    let source = select((k0 + quad) * C + d, d * K + k0 + quad, TRANSPOSED) * TAPS + tap;
    let place = (d * TAPS + select(tap, TAPS - 1u - tap, TRANSPOSED)) * WEIGHT_STRIDE + quad;
    (*plan).sources[i] = source;
    (*plan).places[i] = select(NOWHERE, place, item < DEPTH * TAPS * QUADS_M);
  }
}

// Step 1, for input channels c0 to c0 + DEPTH: from memory into registers. Channels beyond C are 0; if DEPTH divides C, the compiler
// drops the test.
fn fetch(
  c0: u32,
  lane: u32,
  patch_plan: ptr<function, PatchPlan>,
  weight_plan: ptr<function, WeightPlan>,
  patch_share: ptr<function, PatchShare>,
  weight_share: ptr<function, WeightShare>,
) {
  for (var i = 0u; i < PATCH_LOADS; i++) {
    let source = (*patch_plan).sources[i];
    for (var d = 0u; d < DEPTH; d++) {
      let exists = C % DEPTH == 0u || c0 + d < C;
      let at = source + (c0 + d) * H * W;
      (*patch_share)[i * DEPTH + d] = select(0.0, f32(x[select(0u, at, exists)]), exists);
    }
  }
  let quad_stride = select(QUADS_M * C, QUADS_M, TRANSPOSED) * TAPS;  // distance between the weights of a quad
  for (var i = 0u; i < WEIGHT_LOADS; i++) {
    let source = (*weight_plan).sources[i];
    let item = lane + i * THREADS;
    let d = select(item / TAPS % DEPTH, item / (TAPS * QUADS_M), TRANSPOSED);
    let exists = C % DEPTH == 0u || c0 + d < C;
    var four = vec4f();
    for (var v = 0u; v < 4u; v++) {
      var at = source + v * quad_stride + c0 * select(1u, K, TRANSPOSED) * TAPS;
      // Past the last weight: any number will do, since sums of channels beyond K are not written.
      if (K % TILE_M != 0u || DEPTH * TAPS * QUADS_M % THREADS != 0u) { at = min(at, K * C * TAPS - 1u); }
      four[v] = select(0.0, weight[select(0u, at, exists)], exists);
    }
    (*weight_share)[i] = four;
  }
}

// Step 2: from registers into workgroup memory. min() is for the compiler, which cannot see that places stay inside.
fn store(
  patch_plan: ptr<function, PatchPlan>,
  weight_plan: ptr<function, WeightPlan>,
  patch_share: ptr<function, PatchShare>,
  weight_share: ptr<function, WeightShare>,
) {
  for (var i = 0u; i < PATCH_LOADS; i++) {
    let place = (*patch_plan).places[i];
    if (place != NOWHERE) {
      for (var d = 0u; d < DEPTH; d++) {
        patch_tile[min(place, CHANNEL - 1u) + d * CHANNEL] = (*patch_share)[i * DEPTH + d];
      }
    }
  }
  for (var i = 0u; i < WEIGHT_LOADS; i++) {
    let place = (*weight_plan).places[i];
    if ((i + 1u) * THREADS <= DEPTH * TAPS * QUADS_M || place != NOWHERE) {
      weight_tile[min(place, DEPTH * TAPS * WEIGHT_STRIDE - 1u)] = (*weight_share)[i];
    }
  }
}

// Step 3: adds DEPTH·R·S products to each of the thread's sums.
fn multiply(m: u32, n: u32, sum: ptr<function, Sums>) {
  // min() tells the compiler that reads stay inside the tiles, which saves a bounds test per read.
  let first_row = n / ACROSS % DOWN * ROWS * STRIDE;
  let own = n / (ACROSS * DOWN) * IMAGE_QUADS + first_row * ROW_QUADS + n % ACROSS * STRIDE;
  let patch_at = 4u * min(own, LAST_WINDOW);
  let weight_at = min(m * GROUPS_M, QUADS_M - GROUPS_M);
  for (var d = 0u; d < DEPTH; d++) {
    var windows = array<array<f32, ROWS * WINDOW>, R>();
    for (var r = 0u; r < R; r++) {
      for (var row = 0u; row < ROWS; row++) {
        for (var i = 0u; i < WINDOW; i++) {
          if (STRIDE == 1u && r > 0u && row + 1u < ROWS) {
            windows[r][row * WINDOW + i] = windows[r - 1u][(row + 1u) * WINDOW + i];
          } else {
            windows[r][row * WINDOW + i] = patch_tile[d * CHANNEL + patch_at + (row * STRIDE + r) * 4u * ROW_QUADS + i];
          }
        }
      }
      for (var s = 0u; s < S; s++) {
        for (var g = 0u; g < GROUPS_M; g++) {
          let left = weight_tile[(d * TAPS + r * S + s) * WEIGHT_STRIDE + weight_at + g];
          for (var row = 0u; row < ROWS; row++) {
            let at = row * WINDOW + s;
            let right = vec4f(
              windows[r][at],
              windows[r][at + STRIDE],
              windows[r][at + 2u * STRIDE],
              windows[r][at + 3u * STRIDE],
            );
            for (var v = 0u; v < 4u; v++) {
              let i = (4u * g + v) * ROWS + row;
              (*sum)[i] = fma(vec4f(left[v]), right, (*sum)[i]);
            }
          }
        }
      }
    }
  }
}
