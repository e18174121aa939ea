// lib/ghost-batch-norm-twice: a subgroup of LANES lanes reads a channel of a ghost twice, first to sum for the gradients, then to
// compute dx. The second read hits a cache. The importing file declares LANES, a layer's overrides, params, x, gamma,
// statistics and sums, and two functions of an Element's place: passed(at, value of x, terms), which is dy', and write(at, terms).

const ROW: u32 = 4u;             // Elements that a lane handles per iteration of the loop

// What the Elements of a group have in common: dx = scale · dy' + constant + slope · (x − mean).
struct Group {
  mean: Element,
  scale: Element,
  constant: Element,
  slope: Element,
  shift: Element,
}

struct Sums {
  gradients: Element,  // Σ dy'
  products: Element,   // Σ dy'·(x − mean)
}

// Channel c of ghost g, whose norm adds `shift`.
fn read_twice(c: u32, g: u32, lane: u32, shift: Element) {
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let origin = (part.first * C + c) * PIXELS;
  let count = part.samples * PIXELS;
  let statistic = statistics[(params.first_ghost + g) * params.total_channels + params.first_channel + c];
  let r = inverse_deviation(Element(statistic.y), params.eps);
  let scale = gamma[c] * r;
  var terms = Group(Element(statistic.x), scale, Element(), Element(), shift);

  var total = Sums();
  let iterations = count / (LANES * ROW);
  for (var iteration = 0u; iteration < iterations; iteration++) {
    var some = Sums();
    for (var j = 0u; j < ROW; j++) {
      some = add(some, origin + offset((iteration * ROW + j) * LANES + lane), terms);
    }
    total = Sums(total.gradients + some.gradients, total.products + some.products);
  }
  for (var i = iterations * LANES * ROW + lane; i < count; i += LANES) {
    total = add(total, origin + offset(i), terms);
  }
  // vec4() of a scalar Element makes four copies, so each counts a quarter.
  let weights = vec4f(f32(WIDTH) / 4.0);
  let gradients = subgroupAdd(dot(vec4f(total.gradients), weights));
  let products = subgroupAdd(dot(vec4f(r * total.products), weights));
  if (lane == 0u) { sums[g * C + c] = vec2f(gradients, products); }

  let share = vec2f(gradients, products) / f32(count * WIDTH);
  terms.constant = -scale * share.x;
  terms.slope = -scale * r * share.y;
  for (var iteration = 0u; iteration < iterations; iteration++) {
    for (var j = 0u; j < ROW; j++) {
      write(origin + offset((iteration * ROW + j) * LANES + lane), terms);
    }
  }
  for (var i = iterations * LANES * ROW + lane; i < count; i += LANES) {
    write(origin + offset(i), terms);
  }
}

fn add(sums: Sums, at: u32, terms: Group) -> Sums {
  let value = Element(x[at]);
  let gradient = passed(at, value, terms);
  return Sums(sums.gradients + gradient, fma(gradient, value - terms.mean, sums.products));
}
