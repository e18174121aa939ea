/** Measurements as lines of text. The types are the plain JSON that records hold. */

/** What report needs of a measurement along random directions. */
export interface DirectionData {
  readonly kind: string;
  readonly range: number;
  readonly startLoss: number;
  readonly gradientNorm: number;
  readonly taylorSlope: number;
  readonly bins: readonly {
    readonly distance: number;
    readonly deviation: number;
    readonly shift: number;
    readonly points: number;
  }[];
  readonly floor: number;
  readonly slope: number;
  readonly exponent: number;
  readonly leavesTaylorAt: number | null;
}

export function describeDirections(measurements: readonly DirectionData[]): string[] {
  return measurements.map(
    ({ kind, range, startLoss, gradientNorm, taylorSlope, floor, slope, exponent, leavesTaylorAt }) =>
      `${kind} directions to ${range}: loss ${startLoss.toFixed(4)}, gradient norm ${gradientNorm.toPrecision(3)}; spread grows as d^${exponent.toFixed(2)}, ` +
      `√(floor² + (slope·d)²) with floor ${floor.toExponential(1)} and slope ${slope.toExponential(2)}; Taylor slope ${taylorSlope.toExponential(2)}, ` +
      (leavesTaylorAt === null
        ? "kept to within 15 % over the whole range"
        : `left by more than 15 % from ${leavesTaylorAt.toPrecision(2)} on`),
  );
}
