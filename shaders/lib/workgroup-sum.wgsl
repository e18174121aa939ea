// lib/workgroup-sum: the sum over a workgroup of WG_SIZE lanes (a power of two), returned to every lane.
// A tree in workgroup memory, in the same order every time. The importing file declares `override WG_SIZE`.

var<workgroup> sum_scratch: array<f32, WG_SIZE>;

fn workgroup_sum(value: f32, lane: u32) -> f32 {
  sum_scratch[lane] = value;
  workgroupBarrier();
  for (var half = WG_SIZE / 2u; half > 0u; half /= 2u) {
    if (lane < half) { sum_scratch[lane] += sum_scratch[lane + half]; }
    workgroupBarrier();
  }
  let total = sum_scratch[0];
  workgroupBarrier();  // so that the scratch can be reused at once
  return total;
}
