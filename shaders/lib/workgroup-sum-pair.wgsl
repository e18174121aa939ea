// lib/workgroup-sum-pair: the sum of a pair over a workgroup of WG_SIZE lanes (a power of two), returned to every lane.
// A tree in workgroup memory, in the same order every time. The importing file declares `override WG_SIZE`.

var<workgroup> pair_scratch: array<vec2f, WG_SIZE>;

fn workgroup_sum_pair(value: vec2f, lane: u32) -> vec2f {
  pair_scratch[lane] = value;
  workgroupBarrier();
  for (var half = WG_SIZE / 2u; half > 0u; half /= 2u) {
    if (lane < half) { pair_scratch[lane] += pair_scratch[lane + half]; }
    workgroupBarrier();
  }
  let total = pair_scratch[0];
  workgroupBarrier();  // so that the scratch can be reused at once
  return total;
}
