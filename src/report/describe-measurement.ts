/** Measurements as lines of text. */
import type { DirectionData } from "./measured-data.ts";

export function describeDirections(measurements: readonly Omit<DirectionData, "bins">[]): string[] {
  return measurements.map(
    ({ kind, range, startLoss, gradientNorm, taylorSlope, floor, slope, exponent, leavesTaylorAt }) =>
      `${kind} directions to ${range}: loss ${startLoss.toFixed(4)}, gradient norm ${gradientNorm.toPrecision(3)}; spread grows as d^${exponent.toFixed(2)}, ` +
      `√(floor² + (slope·d)²) with floor ${floor.toExponential(1)} and slope ${slope.toExponential(2)}; Taylor slope ${taylorSlope.toExponential(2)}, ` +
      (leavesTaylorAt === null
        ? "kept to within 15 % over the whole range"
        : `left by more than 15 % from ${leavesTaylorAt.toPrecision(2)} on`),
  );
}
