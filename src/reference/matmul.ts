// Float64 reference of matmul: plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

export interface MatmulSize {
  /** Rows of the result. */
  readonly rows: number;
  /** Terms summed in each element of the result. */
  readonly inner: number;
  /** Columns of the result. */
  readonly columns: number;
  /** `a` is stored as [inner, rows] instead of [rows, inner]. */
  readonly transposeA?: boolean;
  /** `b` is stored as [columns, inner] instead of [inner, columns]. */
  readonly transposeB?: boolean;
}

/**
 * c[i, j] = Σ_k op(a)[i, k] · op(b)[k, j] + bias[j]
 *
 * @param a     [rows, inner], or [inner, rows] with transposeA
 * @param b     [inner, columns], or [columns, inner] with transposeB
 * @param bias  [columns], optional
 * @returns c [rows, columns]
 */
export function matmul(
  { a, b, bias }: { a: Values; b: Values; bias?: Values },
  { rows, inner, columns, transposeA = false, transposeB = false }: MatmulSize,
): Float64Array {
  const c = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = bias ? bias[j] : 0;
      for (let k = 0; k < inner; k++) {
        const left = transposeA ? a[k * rows + i] : a[i * inner + k];
        const right = transposeB ? b[j * inner + k] : b[k * columns + j];
        sum += left * right;
      }
      c[i * columns + j] = sum;
    }
  }
  return c;
}

/**
 * Gradients of `matmul`: d op(a) = dc · op(b)ᵀ, d op(b) = op(a)ᵀ · dc, dbias = Σ_i dc[i, :].
 *
 * @param dc  [rows, columns]
 * @returns da and db in the layouts in which a and b are stored; dbias [columns]
 */
export function matmulGradients(
  { a, b, dc }: { a: Values; b: Values; dc: Values },
  { rows, inner, columns, transposeA = false, transposeB = false }: MatmulSize,
): { da: Float64Array; db: Float64Array; dbias: Float64Array } {
  const da = new Float64Array(rows * inner);
  const db = new Float64Array(inner * columns);
  const dbias = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const incoming = dc[i * columns + j];
      dbias[j] += incoming;
      for (let k = 0; k < inner; k++) {
        const atA = transposeA ? k * rows + i : i * inner + k;
        const atB = transposeB ? j * inner + k : k * columns + j;
        da[atA] += incoming * b[atB];
        db[atB] += incoming * a[atA];
      }
    }
  }
  return { da, db, dbias };
}
