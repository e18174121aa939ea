// lib/shift: the value that a one-pass variance measures distances from.
//
// With d = x − shift, mean = shift + Σd/n and variance = Σd²/n − (Σd/n)². The rounding error is proportional to
// (shift − mean)² + variance, so the shift must be near the mean. A single value may happen to be an outlier. The median of three
// values from places far apart is not, even if one of the three is.
// Small squares added to a large one are lost, so every BLOCK iterations have a sum of their own.
// The importing file declares `alias Shift`: f32, or vec4f for four adjacent channels.
// Source: Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", section 3 (shifted data).

const BLOCK: u32 = 256u;  // iterations of a loop that are summed before they join the total

// The three places among n: near the ends and the middle, at odd distances, so that they are not the same pixel of their images.
fn first_place(n: u32) -> u32 { return n / 8u; }
fn second_place(n: u32) -> u32 { return n / 2u + n / 16u; }
fn third_place(n: u32) -> u32 { return n - 1u - n / 11u; }

fn median_of(a: Shift, b: Shift, c: Shift) -> Shift {
  return max(min(a, b), min(max(a, b), c));
}
