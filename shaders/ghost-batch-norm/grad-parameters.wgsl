// ghost-batch-norm/grad-parameters: gradients of gamma and beta from the sums of several workgroups' ghosts.
//
//   dgamma[c] = Σ_g sums[g,c].y      dbeta[c] = Σ_g sums[g,c].x       over the ghosts in order
//
// Source:   Ioffe and Szegedy 2015, section 3, summed over the ghosts of Hoffer et al. 2017.
// Dispatch: one lane per channel: (ceil(C / WG_SIZE), 1, 1).

override C: u32;             // channels
override WG_SIZE: u32 = 64u;

struct Params {
  ghosts: u32,      // G
  accumulate: u32,  // 1: dgamma += and dbeta +=, as the slabs of one batch do
}

@group(0) @binding(0) var<storage, read> sums: array<vec2f>;    // [G, C] of (Σ dy', Σ dy'·x̂)
@group(0) @binding(1) var<storage, read_write> dgamma: array<f32>;  // [C]
@group(0) @binding(2) var<storage, read_write> dbeta: array<f32>;   // [C]
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= C) { return; }
  var total = vec2f();
  for (var g = 0u; g < params.ghosts; g++) {
    total += sums[g * C + c];
  }
  if (params.accumulate != 0u) { total += vec2f(dbeta[c], dgamma[c]); }
  dbeta[c] = total.x;
  dgamma[c] = total.y;
}
