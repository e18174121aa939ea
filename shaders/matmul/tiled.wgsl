// matmul/tiled: C = op(A)·op(B), or its sum over slices of K.
//
//   C[z,m,n] = Σ_k op(A)[m,k] · op(B)[k,n]   k ∈ slice z   (+ bias[n])   (+ the old C)
//
// A workgroup computes TILE_M × TILE_N of C, in steps of TILE_K terms:
//   1. fetch: each thread reads its share of both matrices, blocks of 4 × 4 numbers, into registers;
//   2. store: into workgroup memory, both with k outermost, so that a thread reads its MICRO_M rows and MICRO_N columns as vec4 and its
//      neighbours read the adjacent vec4 (no bank conflicts, no padding);
//   3. multiply, while the next step is being fetched from memory.
// Fetches make no bounds tests: numbers beyond an edge of C go into sums that are not written, and terms beyond the last are not
// multiplied. If C has few tiles, TEAMS teams of threads share each: a team multiplies its part of the terms of every step, and at the
// end the teams add up their sums in workgroup memory, in a fixed order.
// An 8 × 8 micro-tile does 64 multiply-adds per 4 vec4 read, which balances a GPU's arithmetic and workgroup memory.
// Shapes are params, not overrides: one pipeline serves all.
// Dispatch: (columns / TILE_N, rows / TILE_M, slices), rounded up; each matrix below 2³² numbers.
// @products MICRO_M * MICRO_N * TILE_K / TEAMS

// @import lib/loop.wgsl

override TRANSPOSE_A: bool;    // A is stored as [depth, rows]
override TRANSPOSE_B: bool;    // B is stored as [columns, depth]
override PACKED_A: bool;       // A is bound as vec4: its rows are a multiple of 4 long
override PACKED_B: bool;       // B likewise
override BIAS: bool;           // added to slice 0
override ACCUMULATE: bool;     // C += instead of C =; with one slice only
alias PackA = f32;             // @spec  vec4f with PACKED_A
alias PackB = f32;             // @spec  vec4f with PACKED_B
alias StoredA = f32;           // @spec  a PackA in memory: f16 in mixed precision if A is an activation
alias StoredB = f32;           // @spec  a PackB in memory, likewise
alias StoredC = f32;           // @spec  a number of C in memory, likewise
const TILE_M: u32 = 64u;       // @spec
const TILE_N: u32 = 64u;       // @spec
const TILE_K: u32 = 16u;       // @spec
const MICRO_M: u32 = 8u;       // @spec  rows per thread, a multiple of 4
const MICRO_N: u32 = 8u;       // @spec  columns per thread, a multiple of 4
const TEAMS: u32 = 1u;         // @spec  teams of threads, a power of two
const UNROLL: u32 = 1u;        // @spec  terms that are written out one after another, a divisor of the depth

const THREADS_M: u32 = TILE_M / MICRO_M;
const THREADS_N: u32 = TILE_N / MICRO_N;
const TEAM: u32 = THREADS_M * THREADS_N;  // threads of a team
const THREADS: u32 = TEAM * TEAMS;
const TEAM_K: u32 = TILE_K / TEAMS;       // terms of a team per step
const QUADS_M: u32 = TILE_M / 4u;
const QUADS_N: u32 = TILE_N / 4u;
const QUADS_K: u32 = TILE_K / 4u;
const GROUPS_M: u32 = MICRO_M / 4u;
const GROUPS_N: u32 = MICRO_N / 4u;
// The tiles are fetched in blocks of 4 × 4, the same number by each thread.
const BLOCKS_A: u32 = QUADS_M * QUADS_K;
const BLOCKS: u32 = (BLOCKS_A + QUADS_N * QUADS_K) / THREADS;
const_assert BLOCKS * THREADS == BLOCKS_A + QUADS_N * QUADS_K && TEAM_K % UNROLL == 0u && TEAM_K * TEAMS == TILE_K;
const_assert THREADS_M % 4u == 0u && THREADS_N % 8u == 0u && QUADS_M % 8u == 0u && QUADS_N % 8u == 0u;
const WAITING: u32 = TEAMS / 2u * TEAM;   // threads whose sums are in tile_a at one time
const_assert WAITING * MICRO_M * GROUPS_N <= TILE_K * QUADS_M;

@group(0) @binding(0) var<storage, read> a: array<StoredA>;        // op(A) [rows, depth]
@group(0) @binding(1) var<storage, read> b: array<StoredB>;        // op(B) [depth, columns]
@group(0) @binding(2) var<storage, read> bias: array<f32>;         // [columns], any buffer without BIAS
@group(0) @binding(3) var<storage, read_write> c: array<StoredC>;  // [slices, rows, columns]
struct Params {
  rows: u32,
  columns: u32,
  depth: u32,                  // terms of a sum
  steps: i32,                  // of TILE_K terms, in a slice
}
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> tile_a: array<vec4f, TILE_K * QUADS_M>;         // [TILE_K, TILE_M]
var<workgroup> tile_b: array<vec4f, TILE_K * QUADS_N>;         // [TILE_K, TILE_N]

alias Fetched = array<mat4x4f, BLOCKS>;
// [row][four columns]. Drivers unroll a loop over rows that indexes sums by its counter alone, so that the sums stay in registers.
alias Sums = array<array<vec4f, GROUPS_N>, MICRO_M>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let m0 = workgroup.y * TILE_M;
  let n0 = workgroup.x * TILE_N;
  // If there is one team, the compiler knows it.
  let team = select(thread / TEAM, 0u, TEAMS == 1u);
  let member = select(thread % TEAM, thread, TEAMS == 1u);
  // Every 32 threads form a block of 8 × 4, so that they share most of what they read of both tiles.
  let thread_n = member % 8u + member / 32u % (THREADS_N / 8u) * 8u;
  let thread_m = member / 8u % 4u + member / (4u * THREADS_N) * 4u;
  let steps = params.steps;
  let first = workgroup.z * u32(steps) * TILE_K;

  var places = array<u32, BLOCKS>();
  plan(m0, n0, thread, &places);
  var fetched = Fetched();
  var sum = Sums();
  // One iteration more than there are steps: each fetches its own terms and multiplies those fetched before it.
  for (var step = 0; step < FOREVER; step++) {
    if (step > steps) { break; }
    let k0 = first + u32(step) * TILE_K;
    if (step < steps) { fetch(k0, thread, &places, &fetched); }
    if (step > 0) {
      multiply(team, thread_m, thread_n, params.depth + TILE_K - min(k0, params.depth + TILE_K), &sum);
    }
    workgroupBarrier();
    if (step < steps) { store(thread, &fetched); }
    workgroupBarrier();
  }
  if (TEAMS > 1u) {
    add_up(team, member, &sum);
    if (team > 0u) { return; }
  }

  for (var r = 0u; r < MICRO_M; r++) {
    let m = m0 + (r / 4u * THREADS_M + thread_m) * 4u + r % 4u;
    for (var h = 0u; h < GROUPS_N; h++) {
      write(workgroup.z, m, n0 + (h * THREADS_N + thread_n) * 4u, sum[r][h]);
    }
  }
}

// Four neighbouring numbers of a row of C, of slice z.
fn write(z: u32, m: u32, n: u32, values: vec4f) {
  if (m >= params.rows) { return; }
  for (var j = 0u; j < 4u; j++) {
    if (n + j < params.columns) {
      let i = (z * params.rows + m) * params.columns + n + j;
      var value = values[j];
      if (BIAS && z == 0u) { value += bias[n + j]; }
      if (ACCUMULATE) { value += f32(c[i]); }
      c[i] = StoredC(value);
    }
  }
}

// Place of a block in its tile: 8 consecutive threads take 8 consecutive quads of rows (or columns), so that they write
// 8 consecutive vec4 of workgroup memory; the next 8 take the next 4 terms, so that 32 read whole lines of memory.
fn quad(block: u32) -> u32 { return block % 8u + block / (8u * QUADS_K) * 8u; }
fn quad_k(block: u32) -> u32 { return block / 8u % QUADS_K; }

// For each block that a thread fetches: the place of its first number at term 0.
fn plan(m0: u32, n0: u32, thread: u32, places: ptr<function, array<u32, BLOCKS>>) {
  for (var i = 0u; i < BLOCKS; i++) {
    let block = thread + i * THREADS;
    if (block < BLOCKS_A) {
      let m = m0 + 4u * quad(block);
      let k = 4u * quad_k(block);
      (*places)[i] = select(m * params.depth + k, k * params.rows + m, TRANSPOSE_A);
    } else {
      let n = n0 + 4u * quad(block - BLOCKS_A);
      let k = 4u * quad_k(block - BLOCKS_A);
      (*places)[i] = select(k * params.columns + n, n * params.depth + k, TRANSPOSE_B);
    }
  }
}

// Step 1, for terms k0 to k0 + TILE_K.
fn fetch(k0: u32, thread: u32, places: ptr<function, array<u32, BLOCKS>>, fetched: ptr<function, Fetched>) {
  for (var i = 0u; i < BLOCKS; i++) {
    for (var j = 0u; j < 4u; j++) {
      if (thread + i * THREADS < BLOCKS_A) {
        (*fetched)[i][j] = quad_of_a((*places)[i] + select(k0 + j * params.depth, (k0 + j) * params.rows, TRANSPOSE_A));
      } else {
        (*fetched)[i][j] = quad_of_b((*places)[i] + select((k0 + j) * params.columns, k0 + j * params.depth, TRANSPOSE_B));
      }
    }
    // Both tiles hold vec4 of rows or columns of C.
    if (select(TRANSPOSE_B, !TRANSPOSE_A, thread + i * THREADS < BLOCKS_A)) { (*fetched)[i] = transpose((*fetched)[i]); }
  }
}

// Four numbers of A from place `at` on, or the last four if that is beyond its end.
fn quad_of_a(at: u32) -> vec4f {
  let last = params.rows * params.depth - 1u;
  if (PACKED_A) { return vec4f(PackA(a[min(at, last) / 4u])); }
  var values = vec4f();
  for (var i = 0u; i < 4u; i++) { values[i] = vec4f(PackA(a[min(at + i, last)])).x; }
  return values;
}

// The same of B.
fn quad_of_b(at: u32) -> vec4f {
  let last = params.depth * params.columns - 1u;
  if (PACKED_B) { return vec4f(PackB(b[min(at, last) / 4u])); }
  var values = vec4f();
  for (var i = 0u; i < 4u; i++) { values[i] = vec4f(PackB(b[min(at + i, last)])).x; }
  return values;
}

// Step 2. Repeats quad() and quad_k() with remainders, which tell the compiler that writes stay inside the tiles: it does not look
// into functions.
fn store(thread: u32, fetched: ptr<function, Fetched>) {
  for (var i = 0u; i < BLOCKS; i++) {
    let block = thread + i * THREADS;
    let of_b = block - BLOCKS_A;
    for (var j = 0u; j < 4u; j++) {
      if (block < BLOCKS_A) {
        let m = block % 8u + block / (8u * QUADS_K) % (QUADS_M / 8u) * 8u;
        tile_a[(4u * (block / 8u % QUADS_K) + j) * QUADS_M + m] = (*fetched)[i][j];
      } else {
        let n = of_b % 8u + of_b / (8u * QUADS_K) % (QUADS_N / 8u) * 8u;
        tile_b[(4u * (of_b / 8u % QUADS_K) + j) * QUADS_N + n] = (*fetched)[i][j];
      }
    }
  }
}

// Step 3: adds a team's products of a step, or of its first `terms` terms, to each of the thread's sums. The remainders tell the compiler
// that reads stay inside the tiles.
fn multiply(team: u32, thread_m: u32, thread_n: u32, terms: u32, sum: ptr<function, Sums>) {
  let first = team % TEAMS * TEAM_K;
  let own_m = first * QUADS_M + thread_m % THREADS_M;
  let own_n = first * QUADS_N + thread_n % THREADS_N;
  for (var k0 = 0u; k0 < TEAM_K / UNROLL; k0++) {
    if (first + k0 * UNROLL >= terms) { break; }
    var right = array<array<vec4f, GROUPS_N>, UNROLL>();
    for (var u = 0u; u < UNROLL; u++) {
      let k = k0 * UNROLL + u;
      for (var h = 0u; h < GROUPS_N; h++) { right[u][h] = tile_b[k * QUADS_N + h * THREADS_N + own_n]; }
      for (var g = 0u; g < GROUPS_M; g++) {
        let left = tile_a[k * QUADS_M + g * THREADS_M + own_m];
        for (var v = 0u; v < 4u; v++) {
          for (var h = 0u; h < GROUPS_N; h++) {
            (*sum)[4u * g + v][h] = fma(vec4f(left[v]), right[u][h], (*sum)[4u * g + v][h]);
          }
        }
      }
    }
  }
}

// Adds up the sums of all teams: those of the second half to those of the first half, until one team has all. tile_a is free by now.
fn add_up(team: u32, member: u32, sum: ptr<function, Sums>) {
  for (var half = TEAMS / 2u; half > 0u; half /= 2u) {
    let place = team % half * TEAM + member;
    if (team >= half && team < 2u * half) {
      for (var r = 0u; r < MICRO_M; r++) {
        for (var h = 0u; h < GROUPS_N; h++) { tile_a[(r * GROUPS_N + h) * WAITING + place] = (*sum)[r][h]; }
      }
    }
    workgroupBarrier();
    if (team < half) {
      for (var r = 0u; r < MICRO_M; r++) {
        for (var h = 0u; h < GROUPS_N; h++) { (*sum)[r][h] += tile_a[(r * GROUPS_N + h) * WAITING + place]; }
      }
    }
    workgroupBarrier();
  }
}
