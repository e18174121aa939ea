// conv2d/grad-weight-patch: partial sums of the weight gradient from patches of the image in workgroup memory, for GPUs.
//
//   partials[i,k,c,r,s] = Σ dy[n,k,p,q] · x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING]
//
// over the output pixels (n, p, q) of the i-th run of `tiles_per_split` tiles; x outside its border is 0. A tile is ROWS × COLUMNS pixels
// of an image. reduce/sum-rows adds up the runs in order, so the result has the same bits every time.
// conv2d/grad-weight computes the same for any filter. Here a thread has TM output channels, one input channel and all R·S weights
// between them. It reads four pixels of dy once for all of them, and a row of x once for all S columns of the filter: for 3×3 and TM 8
// that is 288 multiply-adds per 200 bytes of workgroup memory. A workgroup computes TM·THREADS_M × THREADS_C pairs of channels, one tile
// per step. Each of its TEAMS teams of threads computes all pairs, over its part of the tile's rows; the teams' sums are added up at the
// end, so that a workgroup with more threads does not write more partial sums. A step:
//   1. fetch: each thread reads its share of dy and x of the next tile into registers, while the previous tile is multiplied;
//   2. store: into workgroup memory, where all threads see them;
//   3. multiply.
// Dispatch: (ceil(K / (TM·THREADS_M)), ceil(C / THREADS_C), splits).
// @products TM * R * S * ROWS * COLUMNS / TEAMS

// @import lib/loop.wgsl

override C: u32;
override H: u32;
override W: u32;
override K: u32;
override P: u32;
override Q: u32;
override PADDING: u32;
alias Stored = f32;           // @spec  x and dy in memory: f16 in mixed precision
const R: u32 = 3u;            // @spec
const S: u32 = 3u;            // @spec
const STRIDE: u32 = 1u;       // @spec
const TM: u32 = 8u;           // @spec  output channels per thread
const THREADS_M: u32 = 8u;    // @spec
const THREADS_C: u32 = 16u;   // @spec  input channels per workgroup
const TEAMS: u32 = 1u;        // @spec
const ROWS: u32 = 4u;         // @spec  rows of pixels of a tile, a multiple of TEAMS
const COLUMNS: u32 = 8u;      // @spec  columns likewise, a multiple of 4
const PATCH_LANES: u32 = 64u; // @spec  threads that fetch one channel of x together

const TAPS = R * S;
const TEAM = THREADS_M * THREADS_C;  // threads of a team
const THREADS = TEAM * TEAMS;
const TILE_M = TM * THREADS_M;
const PIXELS = ROWS * COLUMNS;
const WINDOW = 3u * STRIDE + S;  // numbers of a row of x that four neighbouring pixels need
const PATCH_ROWS = (ROWS - 1u) * STRIDE + R;
const PATCH_COLUMNS = (COLUMNS - 1u) * STRIDE + S;
const PATCH = PATCH_ROWS * PATCH_COLUMNS;
// Lengths in workgroup memory in vec4: of a row of the patch, of its channel, of a channel of dy. The last two are odd, so that
// threads that read the same pixels of neighbouring channels use different banks.
const ROW_QUADS = (PATCH_COLUMNS + 3u) / 4u;
const PATCH_QUADS = PATCH_ROWS * ROW_QUADS / 2u * 2u + 1u;
const DY_QUADS = PIXELS / 4u / 2u * 2u + 1u;
const DY_LOADS = TILE_M * PIXELS / THREADS;
const PLACES = (PATCH + PATCH_LANES - 1u) / PATCH_LANES;             // places of a patch that a thread fetches
const PATCH_CHANNELS = THREADS_C * PATCH_LANES / THREADS;            // and in how many channels
const TEAM_ROWS = ROWS / TEAMS;
const_assert COLUMNS % 4u == 0u && ROWS % TEAMS == 0u && (TEAMS - 1u) * THREADS_C <= 4u * DY_QUADS;
const_assert THREADS % PIXELS == 0u && TILE_M * PIXELS % THREADS == 0u;
const_assert THREADS % PATCH_LANES == 0u && THREADS_C * PATCH_LANES % THREADS == 0u;
// Every 32 threads form a block of up to 4 × 8, so that they share most of what they read of both tiles.
const BLOCK_M = min(THREADS_M, 4u);
const BLOCK_C = min(THREADS_C, 32u / BLOCK_M);

@group(0) @binding(0) var<storage, read> x: array<Stored>;            // [N, C, H, W]
@group(0) @binding(1) var<storage, read> dy: array<Stored>;           // [N, K, P, Q]
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;  // [splits, K, C, R, S]
struct Params { tiles: u32, tiles_per_split: u32 }                    // tiles of all images; tiles of a run
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> dy_tile: array<f32, 4u * TILE_M * DY_QUADS>;
var<workgroup> patch_tile: array<f32, 4u * THREADS_C * PATCH_QUADS>;

alias DyShare = array<f32, DY_LOADS>;
alias PatchShare = array<f32, PLACES * PATCH_CHANNELS>;
alias Sums = array<array<f32, S * TM>, R>;  // of taps (r, s) and output channels i: [r][s * TM + i]

// Tiles of an image.
override TILES_DOWN: u32 = (P + ROWS - 1u) / ROWS;
override TILES_ACROSS: u32 = (Q + COLUMNS - 1u) / COLUMNS;
// The edges of an image that a tile is at: sum of EDGE_….
const EDGE_TOP = 1u;
const EDGE_BOTTOM = 2u;
const EDGE_LEFT = 4u;
const EDGE_RIGHT = 8u;

// The places of the patch that a thread fetches: the index of each in x for the first tile and channel, its index in workgroup memory, and
// the edges of an image (sum of EDGE_…) at which it is outside x.
struct Places { sources: array<u32, PLACES>, targets: array<u32, PLACES>, outside: array<u32, PLACES> }

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let k0 = wg.x * TILE_M;
  let c0 = wg.y * THREADS_C;
  let team = lane / TEAM;
  let c = lane % BLOCK_C + lane / (BLOCK_M * BLOCK_C) % (THREADS_C / BLOCK_C) * BLOCK_C;
  let m = lane / BLOCK_C % BLOCK_M + lane % TEAM / (BLOCK_M * THREADS_C) * BLOCK_M;

  var places = Places();
  plan(c0, lane, &places);
  var dy_share = DyShare();
  var patch_share = PatchShare();
  var sum = Sums();
  var tile = wg.z * params.tiles_per_split;
  let end = min(params.tiles, tile + params.tiles_per_split);
  // One iteration more than there are tiles: each fetches its own tile and multiplies the one fetched before it.
  for (var iteration = 0; iteration < FOREVER; iteration++) {
    let fetches = tile < end;
    if (fetches) {
      fetch_dy(tile, k0, lane, &dy_share);
      fetch_patch(tile, c0, lane, &places, &patch_share);
    }
    if (iteration > 0) { multiply(m, c, team, &sum); }
    workgroupBarrier();  // every thread has read the previous tile
    if (!fetches) { break; }
    store(lane, &places, &dy_share, &patch_share);
    workgroupBarrier();
    tile++;
  }

  if (TEAMS > 1u) { add_up(lane, &sum); }
  if (team > 0u) { return; }
  for (var i = 0u; i < TM; i++) {
    let k = k0 + m + i * THREADS_M;
    if ((K % TILE_M == 0u || k < K) && (C % THREADS_C == 0u || c0 + c < C)) {
      let at = ((wg.z * K + k) * C + c0 + c) * TAPS;
      for (var r = 0u; r < R; r++) {
        for (var s = 0u; s < S; s++) { partials[at + r * S + s] = sum[r][s * TM + i]; }
      }
    }
  }
}

fn plan(c0: u32, lane: u32, places: ptr<function, Places>) {
  for (var i = 0u; i < PLACES; i++) {
    let item = lane % PATCH_LANES + i * PATCH_LANES;
    let row = item / PATCH_COLUMNS;
    let column = item % PATCH_COLUMNS;
    // Above or left of the image these wrap around, so the tests against H and W reject them.
    let last_row = (TILES_DOWN - 1u) * ROWS * STRIDE + row - PADDING;
    let last_column = (TILES_ACROSS - 1u) * COLUMNS * STRIDE + column - PADDING;
    (*places).sources[i] = row * W + column - PADDING * (W + 1u) + (c0 + lane / PATCH_LANES) * H * W;
    (*places).targets[i] = 4u * (lane / PATCH_LANES * PATCH_QUADS + row * ROW_QUADS) + column;
    (*places).outside[i] = select(0u, EDGE_TOP, row - PADDING >= H) | select(0u, EDGE_BOTTOM, last_row >= H) |
      select(0u, EDGE_LEFT, column - PADDING >= W) | select(0u, EDGE_RIGHT, last_column >= W);
  }
}

// Step 1 of dy: a thread fetches one pixel of every (THREADS / PIXELS)-th output channel. Pixels beyond the image are 0. Channels
// beyond K hold other numbers, but their sums are not written.
fn fetch_dy(tile: u32, k0: u32, lane: u32, share: ptr<function, DyShare>) {
  let image = tile / (TILES_DOWN * TILES_ACROSS);
  let p = tile / TILES_ACROSS % TILES_DOWN * ROWS + lane % PIXELS / COLUMNS;
  let q = tile % TILES_ACROSS * COLUMNS + lane % COLUMNS;
  let exists = (P % ROWS == 0u || p < P) && (Q % COLUMNS == 0u || q < Q);
  for (var i = 0u; i < DY_LOADS; i++) {
    var k = k0 + lane / PIXELS + i * (THREADS / PIXELS);
    if (K % TILE_M != 0u) { k = min(k, K - 1u); }
    let at = ((image * K + k) * P + p) * Q + q;
    (*share)[i] = select(0.0, f32(dy[select(0u, at, exists)]), exists);
  }
}

// Step 1 of x: a thread fetches its places of every (THREADS / PATCH_LANES)-th input channel.
fn fetch_patch(tile: u32, c0: u32, lane: u32, places: ptr<function, Places>, share: ptr<function, PatchShare>) {
  let tile_row = tile / TILES_ACROSS % TILES_DOWN;
  let tile_column = tile % TILES_ACROSS;
  let image = tile / (TILES_DOWN * TILES_ACROSS);
  let corner = image * C * H * W + (tile_row * ROWS * W + tile_column * COLUMNS) * STRIDE;
  let edges = select(0u, EDGE_TOP, tile_row == 0u) | select(0u, EDGE_BOTTOM, tile_row == TILES_DOWN - 1u) |
    select(0u, EDGE_LEFT, tile_column == 0u) | select(0u, EDGE_RIGHT, tile_column == TILES_ACROSS - 1u);
  for (var i = 0u; i < PLACES; i++) {
    let exists = ((*places).outside[i] & edges) == 0u;
    let at = select(0u, corner + (*places).sources[i], exists);
    for (var j = 0u; j < PATCH_CHANNELS; j++) {
      var onward = j * (THREADS / PATCH_LANES);
      if (C % THREADS_C != 0u) { onward = min(onward, C - 1u - min(c0 + lane / PATCH_LANES, C - 1u)); }
      (*share)[i * PATCH_CHANNELS + j] = select(0.0, f32(x[at + onward * H * W]), exists);
    }
  }
}

// Step 2. min() is for the compiler, which cannot see that places stay inside.
fn store(
  lane: u32,
  places: ptr<function, Places>,
  dy_share: ptr<function, DyShare>,
  patch_share: ptr<function, PatchShare>,
) {
  for (var i = 0u; i < DY_LOADS; i++) {
    let k = min(lane / PIXELS, THREADS / PIXELS - 1u) + i * (THREADS / PIXELS);
    dy_tile[4u * DY_QUADS * k + lane % PIXELS] = (*dy_share)[i];
  }
  for (var i = 0u; i < PLACES; i++) {
    if ((i + 1u) * PATCH_LANES <= PATCH || lane % PATCH_LANES + i * PATCH_LANES < PATCH) {
      let target_at = min((*places).targets[i], 4u * (THREADS / PATCH_LANES) * PATCH_QUADS - 1u);
      for (var j = 0u; j < PATCH_CHANNELS; j++) {
        patch_tile[target_at + 4u * j * (THREADS / PATCH_LANES) * PATCH_QUADS] = (*patch_share)[i * PATCH_CHANNELS + j];
      }
    }
  }
}

// Step 3: adds a team's products of a tile to each of the thread's sums, four pixels of a row at a time.
fn multiply(m: u32, c: u32, team: u32, sum: ptr<function, Sums>) {
  let first_row = min(team, TEAMS - 1u) * TEAM_ROWS;
  let dy_at = 4u * (DY_QUADS * min(m, THREADS_M - 1u) + first_row * (COLUMNS / 4u));
  let patch_at = 4u * (PATCH_QUADS * min(c, THREADS_C - 1u) + first_row * STRIDE * ROW_QUADS);
  for (var row = 0u; row < TEAM_ROWS; row++) {
    for (var quad = 0u; quad < COLUMNS / 4u; quad++) {
      var left = array<vec4f, TM>();
      for (var i = 0u; i < TM; i++) {
        let at = dy_at + 4u * (i * THREADS_M * DY_QUADS + row * (COLUMNS / 4u) + quad);
        left[i] = vec4f(dy_tile[at], dy_tile[at + 1u], dy_tile[at + 2u], dy_tile[at + 3u]);
      }
      for (var r = 0u; r < R; r++) {
        var window = array<f32, WINDOW>();
        for (var i = 0u; i < WINDOW; i++) {
          window[i] = patch_tile[patch_at + 4u * ((row * STRIDE + r) * ROW_QUADS + quad * STRIDE) + i];
        }
        for (var j = 0u; j < 4u; j++) {
          for (var s = 0u; s < S; s++) {
            for (var i = 0u; i < TM; i++) {
              let at = s * TM + i;
              (*sum)[r][at] = fma(left[i][j], window[j * STRIDE + s], (*sum)[r][at]);
            }
          }
        }
      }
    }
  }
}

// Adds the sums of all teams to those of the first, in order, one tap at a time, through the workgroup memory of dy.
fn add_up(lane: u32, sum: ptr<function, Sums>) {
  for (var r = 0u; r < R; r++) {
    for (var s = 0u; s < S; s++) {
      if (lane >= TEAM) {
        for (var i = 0u; i < TM; i++) { dy_tile[i * (THREADS - TEAM) + lane - TEAM] = (*sum)[r][s * TM + i]; }
      }
      workgroupBarrier();
      if (lane < TEAM) {
        for (var i = 0u; i < TM; i++) {
          for (var other = 0u; other < TEAMS - 1u; other++) {
            (*sum)[r][s * TM + i] += dy_tile[i * (THREADS - TEAM) + other * TEAM + lane];
          }
        }
      }
      workgroupBarrier();
    }
  }
}
