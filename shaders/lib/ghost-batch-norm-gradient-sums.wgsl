// lib/ghost-batch-norm-gradient-sums: a workgroup of WG_SIZE lanes computes the sums for a norm's gradients over one part (`group.z` of
// SPLITS) of channel `group.x` of ghost `group.y`.
// The importing file declares a layer's overrides, params and sums, imports lib/workgroup-sum-pair, and has a function
// add(sums so far, first place of the group, index of an Element in it, terms).

const ROW: u32 = 4u;           // loads that a lane has in flight at a time

// What the Elements of a group have in common: x̂ = (x − mean) · r, and forward's output is scale · (x − mean) + shift.
struct Group {
  mean: Element,
  scale: Element,
  shift: Element,
}

struct Sums {
  gradients: Element,  // Σ dy'
  products: Element,   // Σ dy'·(x − mean)
}

fn write_sums(group: vec3u, lane: u32, r: Element, terms: Group) {
  let part = ghost(group.y, params.ghost_size, params.ghosts, params.total);
  let origin = (part.first * C + group.x) * PIXELS;
  let count = part.samples * PIXELS;
  let share = (count + SPLITS - 1u) / SPLITS;
  let end = min(count, (group.z + 1u) * share);
  var total = Sums();
  var i = group.z * share + lane;
  for (; i + (ROW - 1u) * WG_SIZE < end; i += ROW * WG_SIZE) {
    for (var j = 0u; j < ROW; j++) {
      total = add(total, origin, i + j * WG_SIZE, terms);
    }
  }
  for (; i < end; i += WG_SIZE) {
    total = add(total, origin, i, terms);
  }
  // vec4() of a scalar Element makes four copies, so each counts a quarter.
  let weights = vec4f(f32(WIDTH) / 4.0);
  let pair = workgroup_sum_pair(vec2f(dot(vec4f(total.gradients), weights), dot(vec4f(r * total.products), weights)), lane);
  if (lane == 0u) { sums[(group.y * SPLITS + group.z) * C + group.x] = pair; }
}
