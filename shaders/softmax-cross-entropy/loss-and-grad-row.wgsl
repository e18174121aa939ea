// softmax-cross-entropy/loss-and-grad-row: loss-and-grad.wgsl with a workgroup for each row, for many classes on wide GPUs.
//
//   loss[n]    = log Σ_k exp(logits[n,k]) − logits[n,label]
//   dlogits    = loss_scale · weight[n] · (softmax(logits[n]) − onehot(label))
//   hits       top-1 and top-5: the label's rank, where an equal logit of lower index ranks first
//
// Neighbouring lanes take neighbouring classes, so that 32 of them read one line of 128 bytes; with a row per lane, each would read its
// own line. For 256 rows of 1000 classes, 256 workgroups run 8 iterations a pass; with a row per lane, 4 workgroups would run 1000.
// A row whose loss is not finite is not a hit. A label that is no class has the loss NaN.
// Dispatch: one workgroup per row, in a grid folded into two dimensions.

override N: u32;               // rows
override K: u32;               // classes
override WG_SIZE: u32 = 64u;   // lanes in a workgroup, a power of two

const QUIET_NAN = 0x7fc00000u;  // its bits, since WGSL has no literal for it

struct Params { classes: u32, last_start: u32, weight: f32, last_weight: f32, loss_scale: f32 }

@group(0) @binding(0) var<storage, read> logits: array<f32>;            // [N, K]
@group(0) @binding(1) var<storage, read> labels: array<u32>;            // [N]
@group(0) @binding(2) var<storage, read_write> dlogits: array<f32>;     // [N, K]
@group(0) @binding(3) var<storage, read_write> rows: array<vec4f>;  // [N, 4]: weight · loss, top-1, top-5, loss
@group(0) @binding(4) var<uniform> params: Params;

// @import lib/grid.wgsl
// @import lib/workgroup-sum.wgsl

// A lane's view of a row: its largest logit, and how many classes rank before the label.
struct Seen { largest: f32, rank: u32 }

var<workgroup> seen: array<Seen, WG_SIZE>;

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = flat_index(group, count, 0u, 1u);
  if (n >= N) { return; }
  let start = n * K;
  let label = labels[n];
  let target_logit = logits[start + label];

  var own = Seen(logits[start], 0u);
  for (var k = lane; k < params.classes; k += WG_SIZE) {
    let logit = logits[start + k];
    own.largest = max(own.largest, logit);
    if (logit > target_logit || (logit == target_logit && k < label)) { own.rank++; }
  }
  seen[lane] = own;
  workgroupBarrier();
  for (var half = WG_SIZE / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      let other = seen[lane + half];
      seen[lane] = Seen(max(seen[lane].largest, other.largest), seen[lane].rank + other.rank);
    }
    workgroupBarrier();
  }
  let largest = seen[0].largest;

  var share = 0.0;
  for (var k = lane; k < params.classes; k += WG_SIZE) { share += exp(logits[start + k] - largest); }
  let sum = workgroup_sum(share, lane);

  let weight = select(params.weight, params.last_weight, n >= params.last_start);
  for (var k = lane; k < params.classes; k += WG_SIZE) {
    let probability = exp(logits[start + k] - largest) / sum;
    dlogits[start + k] = params.loss_scale * weight * (probability - select(0.0, 1.0, k == label));
  }
  if (lane != 0u) { return; }
  let rank = seen[0].rank;
  let computed = log(sum) + (largest - target_logit);  // subtract first: the difference is small even if the logits are large
  let loss = bitcast<f32>(select(bitcast<u32>(computed), QUIET_NAN, label >= K));
  // Some compilers replace x != x by false, so NaN and infinity are found by their exponent bits.
  let finite = (bitcast<u32>(loss) & 0x7f800000u) != 0x7f800000u;
  rows[n] = vec4f(
    weight * loss,
    select(0.0, 1.0, finite && rank == 0u),
    select(0.0, 1.0, finite && rank < 5u),
    loss,
  );
}
