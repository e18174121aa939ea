// lib/loop: the bound of a loop that a break ends.
//
// With a signed counter and this bound, which is constant, Tint adds no guard against endless loops: 10 ns a trip instead of 30 to 37 on a
// software adapter, and a 64-bit counter less on GPUs. A step of up to 2³⁰ cannot overflow behind it.

const FOREVER: i32 = 0x3fffffff;
