import { mean } from "../../src/support/statistics.ts";

/** Spearman's rank correlation, ties given their mean rank. */
export function rankCorrelation(x: readonly number[], y: readonly number[]): number {
  const [rankX, rankY] = [ranks(x), ranks(y)];
  const [centerX, centerY] = [mean(rankX), mean(rankY)];
  let [xx, xy, yy] = [0, 0, 0];
  for (const [i, rank] of rankX.entries()) {
    xx += (rank - centerX) ** 2;
    xy += (rank - centerX) * (rankY[i]! - centerY);
    yy += (rankY[i]! - centerY) ** 2;
  }
  return xy / Math.sqrt(xx * yy);
}

function ranks(values: readonly number[]): number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal - 1) / 2;
  });
}
