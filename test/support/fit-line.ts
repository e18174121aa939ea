/** Ordinary least squares y ≈ intercept + slope · x, and the share of y's variance that the line explains. */
export function fitLine(
  x: readonly number[],
  y: readonly number[],
): { slope: number; intercept: number; r2: number } {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [centerX, centerY] = [mean(x), mean(y)];
  let xx = 0;
  let xy = 0;
  let yy = 0;
  for (let i = 0; i < x.length; i++) {
    xx += (x[i]! - centerX) ** 2;
    xy += (x[i]! - centerX) * (y[i]! - centerY);
    yy += (y[i]! - centerY) ** 2;
  }
  const slope = xy / xx;
  return { slope, intercept: centerY - slope * centerX, r2: xy ** 2 / (xx * yy) };
}
