// matmul-direct: the simplest matrix product in slices, an example of your own kernel (docs/WRITING-A-KERNEL.md).
//
//   c[z,m,n] = Σ_k op(a)[m,k] · op(b)[k,n]   k ∈ slice z   (+ bias[n] in slice 0)   (+ the old c, if there is one slice)
//
// One thread per element and slice. Run it with
//   npm run -s ghostbatch -- bench kernel examples/matmul-direct.wgsl --as matmul/tiled
//
// @dispatch (ceil(columns / 8), ceil(rows / 8), ceil(depth / (steps * TILE_K)))

override TRANSPOSE_A: bool;  // a is stored as [depth, rows]
override TRANSPOSE_B: bool;  // b is stored as [columns, depth]
override PACKED_A: bool;     // how the built-in kernel loads; not used here
override PACKED_B: bool;
override BIAS: bool;
override ACCUMULATE: bool;
const TILE_K: u32 = 16u;     // @spec  a slice has steps · TILE_K terms

struct Params { rows: u32, columns: u32, depth: u32, steps: i32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;  // [slices, rows, columns]
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let rows = params.rows;
  let columns = params.columns;
  let depth = params.depth;
  if (at.x >= columns || at.y >= rows) { return; }
  let terms = u32(params.steps) * TILE_K;
  var sum = 0.0;
  if (BIAS && at.z == 0u) { sum = bias[at.x]; }
  for (var k = at.z * terms; k < min(depth, (at.z + 1u) * terms); k++) {
    let left = a[select(at.y * depth + k, k * rows + at.y, TRANSPOSE_A)];
    let right = b[select(k * columns + at.x, at.x * depth + k, TRANSPOSE_B)];
    sum += left * right;
  }
  let i = (at.z * rows + at.y) * columns + at.x;
  if (ACCUMULATE) { sum += c[i]; }
  c[i] = sum;
}
