// lib/loop: the bound of a loop that a break ends.
//
// With a signed counter and this constant bound, Tint adds no guard against endless loops. An iteration then takes 10 ns instead of 30 to
// 37 on a software adapter, and GPUs save a 64-bit counter. A counter that grows by up to 2³⁰ per iteration cannot overflow.

const FOREVER: i32 = 0x3fffffff;
