// channel-bias/grad-bias: dbias[c] = Σ_n Σ_p dy[n,c,p], in a fixed order.
//
// A channel too large for one workgroup is cut into SPLITS parts with a sum each; reduce/sum-rows adds them up. For VGG's 64 channels
// of 4096·32² values, 512 workgroups then run 128 dependent iterations each; uncut, 64 workgroups would run 16,384.
// Dispatch: (C, SPLITS, 1).

override C: u32;                    // channels
override HW: u32;                   // pixels of one image
override ACCUMULATE: bool;          // dbias += instead of dbias =; with one split only
override SPLITS: u32 = 1u;          // workgroups that share a channel
override WG_SIZE: u32 = 256u;       // lanes in a workgroup, a power of two
alias Element = vec4f;              // @spec  f32 where HW is not a multiple of 4
alias Stored = vec4f;               // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;              // @spec  values in an Element
override PIXELS: u32 = HW / WIDTH;  // Elements in one channel of one image
const ROW: u32 = 4u;                // loads that a lane has in flight at a time

struct Params { count: u32 }   // N · PIXELS

@group(0) @binding(0) var<storage, read> dy: array<Stored>;        // [N, C, HW]
@group(0) @binding(1) var<storage, read_write> dbias: array<f32>;  // [SPLITS, C]
@group(0) @binding(2) var<uniform> params: Params;

// @import lib/workgroup-sum.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let c = group.x;
  let share = (params.count + SPLITS - 1u) / SPLITS;
  let end = min(params.count, (group.y + 1u) * share);

  var sum = Element();
  var i = group.y * share + lane;
  for (; i + (ROW - 1u) * WG_SIZE < end; i += ROW * WG_SIZE) {
    for (var j = 0u; j < ROW; j++) { sum += Element(dy[place(c, i + j * WG_SIZE)]); }
  }
  for (; i < end; i += WG_SIZE) { sum += Element(dy[place(c, i)]); }
  // vec4() of a scalar Element makes four copies, so each counts a quarter.
  let total = workgroup_sum(dot(vec4f(sum), vec4f(f32(WIDTH) / 4.0)), lane);
  if (lane == 0u) {
    let at = group.y * C + c;
    dbias[at] = select(total, total + dbias[at], ACCUMULATE);
  }
}

// Index of the i-th Element of a channel.
fn place(c: u32, i: u32) -> u32 {
  return (i / PIXELS * C + c) * PIXELS + i % PIXELS;
}
