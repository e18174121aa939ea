/** Numbers that a reference reads: float64, or the float32 that the GPU is given. References compute and return float64. */
export type Values = Float64Array | Float32Array;
