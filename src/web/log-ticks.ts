/** Marks of a logarithmic axis. uPlot's own start at the lowest value, so they miss the powers of ten if that is not one. */

/** 1 to 9 times the powers of ten within [low, high], for 0 < low. */
export function logarithmicTicks(low: number, high: number): number[] {
  const first = Math.floor(Math.log10(low));
  const decades = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, i) => first + i);
  return decades
    .flatMap((decade) => [1, 2, 3, 4, 5, 6, 7, 8, 9].map((digit) => Number(`${digit}e${decade}`)))
    .filter((tick) => low <= tick && tick <= high);
}

/** The ticks to label, null for the others: powers of ten or, if there are fewer than two, those that begin with 1, 2 or 5. */
export function labelledTicks(ticks: readonly number[]): (number | null)[] {
  const digit = (tick: number) => Number(tick.toExponential()[0]);
  const powers = ticks.filter((tick) => digit(tick) === 1);
  const shown = powers.length >= 2 ? [1] : [1, 2, 5];
  return ticks.map((tick) => (shown.includes(digit(tick)) ? tick : null));
}
