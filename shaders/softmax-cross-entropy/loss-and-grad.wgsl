// softmax-cross-entropy/loss-and-grad: loss, gradient and hits of every row of logits.
//
//   loss[n]    = log Σ_k exp(logits[n,k]) − logits[n,label]
//   dlogits    = loss_scale · weight[n] · (softmax(logits[n]) − onehot(label))
//   hits       top-1 and top-5: the label's rank, where an equal logit of lower index ranks first
//
// weight[n] belongs to the sample's ghost: `weight` before the last ghost, `last_weight` in it, so that a mean over samples and a
// mean of ghost means (Hoffer et al. 2017, released code) are both exact.
// A row whose loss is not finite is not a hit. A label that is no class has the loss NaN.
// Dispatch: one lane per row: (ceil(N / WG_SIZE), 1, 1).

override N: u32;               // rows
override K: u32;               // classes
override WG_SIZE: u32 = 64u;

const QUIET_NAN = 0x7fc00000u;  // its bits, since WGSL has no literal for it

struct Params { classes: u32, last_start: u32, weight: f32, last_weight: f32, loss_scale: f32 }

@group(0) @binding(0) var<storage, read> logits: array<f32>;            // [N, K]
@group(0) @binding(1) var<storage, read> labels: array<u32>;            // [N]
@group(0) @binding(2) var<storage, read_write> dlogits: array<f32>;     // [N, K]
@group(0) @binding(3) var<storage, read_write> rows: array<vec4f>;  // [N, 4]: weight · loss, top-1, top-5, loss
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= N) { return; }
  let start = n * K;
  let label = labels[n];
  let target_logit = logits[start + label];

  var largest = logits[start];
  var rank = 0u;
  for (var k = 0u; k < params.classes; k++) {
    let logit = logits[start + k];
    largest = max(largest, logit);
    if (logit > target_logit || (logit == target_logit && k < label)) { rank++; }
  }
  var sum = 0.0;
  for (var k = 0u; k < params.classes; k++) { sum += exp(logits[start + k] - largest); }

  let weight = select(params.weight, params.last_weight, n >= params.last_start);
  for (var k = 0u; k < params.classes; k++) {
    let probability = exp(logits[start + k] - largest) / sum;
    dlogits[start + k] = params.loss_scale * weight * (probability - select(0.0, 1.0, k == label));
  }
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
