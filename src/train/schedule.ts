/**
 * What happens at which step. These depend only on the step, so a run that is interrupted and resumed measures, logs and
 * evaluates at the same steps as one that is not. `done` counts completed steps.
 */

/** Distance measurements per decade of steps, enough for a fit on a logarithmic axis. */
const DISTANCES_PER_DECADE = 12;

export interface Schedule {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  /** Epochs between evaluations. */
  readonly evaluateEvery: number;
  /** Steps between read-backs. */
  readonly logEvery: number;
}

/** After the last step, and after every `evaluateEvery` epochs. */
export function isEvaluationPoint(
  { stepsPerEpoch, totalSteps, evaluateEvery }: Schedule,
  done: number,
): boolean {
  return done === totalSteps || done % (stepsPerEpoch * evaluateEvery) === 0;
}

/** When metrics are read back: every `logEvery` steps, and before an evaluation. */
export function isLogPoint(schedule: Schedule, done: number): boolean {
  return done % schedule.logEvery === 0 || isEvaluationPoint(schedule, done);
}

/** When ‖w − w₀‖ is measured: equally spaced on a logarithmic axis, and at evaluations; not at log points, whose
 * interval must not affect the result. */
export function isDistancePoint(schedule: Schedule, done: number): boolean {
  const position = (n: number) => Math.floor(DISTANCES_PER_DECADE * Math.log10(n));
  return done === 1 || position(done) !== position(done - 1) || isEvaluationPoint(schedule, done);
}
