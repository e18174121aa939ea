/** Measurements as lines of text. */
import type { DirectionData } from "./measured-data.ts";

export function describeDirections(measurements: readonly Omit<DirectionData, "bins">[]): string[] {
  return measurements.map(
    ({ kind, range, startLoss, gradientNorm, taylorSlope, slope, leavesTaylorAt, ...measured }) => {
      const { exponent, exponentError, curvature, curvatureError } = measured;
      return (
        `${kind} directions to ${range}: loss ${startLoss.toFixed(4)}, gradient norm ${gradientNorm.toPrecision(3)}; ` +
        `spread grows as d^${exponent.toFixed(2)}${errorText(exponentError?.toFixed(2))}, fitted slope ${slope.toExponential(2)}, Taylor ${taylorSlope.toExponential(2)}, ` +
        (leavesTaylorAt === null
          ? "not distinguishable from it over the whole range"
          : `left by more than 15 % from ${leavesTaylorAt.toPrecision(2)} on`) +
        (curvature === undefined
          ? ""
          : `; tr(H)/P ${curvature.toExponential(1)}${errorText(curvatureError?.toExponential(1))}`)
      );
    },
  );
}

function errorText(error: string | undefined): string {
  return error === undefined ? "" : ` ± ${error}`;
}
