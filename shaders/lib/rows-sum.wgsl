// lib/rows-sum: two sums per column over the ROWS rows of a workgroup of COLUMNS × ROWS lanes (overrides of the importing
// file; ROWS is a power of two), returned to every lane. A tree in a fixed order; with ROWS 1 there is nothing to add.
struct Rows {
  a: vec4f,
  b: vec4f,
}

var<workgroup> rows_scratch: array<Rows, COLUMNS * ROWS>;

fn rows_sum(value: Rows, lane: vec3u) -> Rows {
  if (ROWS == 1u) { return value; }
  let own = lane.y * COLUMNS + lane.x;
  rows_scratch[own] = value;
  workgroupBarrier();
  for (var half = ROWS / 2u; half > 0u; half /= 2u) {
    if (lane.y < half) {
      let other = rows_scratch[own + half * COLUMNS];
      rows_scratch[own] = Rows(rows_scratch[own].a + other.a, rows_scratch[own].b + other.b);
    }
    workgroupBarrier();
  }
  let total = rows_scratch[lane.x];
  workgroupBarrier();  // so that the scratch can be reused at once
  return total;
}
