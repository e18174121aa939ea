/** Input of a reference: float64, or the float32 values given to the GPU. References compute and return float64. */
export type Values = Float64Array | Float32Array;
