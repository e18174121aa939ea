// lib/shift: where a one-pass variance measures from.
//
// With d = x − shift, mean = shift + Σd/n and variance = Σd²/n − (Σd/n)². What is rounded there has the size of
// (shift − mean)² + variance, so the shift must be near the mean. A single value may happen to be an outlier; the middle one
// of three that lie far apart is none, even where one of the three is.
// A sum that holds one large square loses the small ones added to it, so sums of BLOCK trips are added up apart.
// The importing file declares `alias Shift`: f32, or vec4f for four channels side by side.
// Source: Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", section 3 (shifted data).

const BLOCK: u32 = 256u;  // trips of a loop whose sums are added up before they join the total

// The three places among n: near the ends and the middle, at odd distances, so not all in one place of their images.
fn first_place(n: u32) -> u32 { return n / 8u; }
fn second_place(n: u32) -> u32 { return n / 2u + n / 16u; }
fn third_place(n: u32) -> u32 { return n - 1u - n / 11u; }

fn middle_of(a: Shift, b: Shift, c: Shift) -> Shift {
  return max(min(a, b), min(max(a, b), c));
}
