// How long a test waits before it fails. No test measures speed with it; on a busy or slow machine all limits are raised together.

/** Factor on every limit, from GHOSTBATCH_TEST_PATIENCE; 1 if that is not set. */
const patience = Number(process.env.GHOSTBATCH_TEST_PATIENCE || 1);
if (!(patience > 0)) {
  throw new Error(
    `GHOSTBATCH_TEST_PATIENCE: expected a factor above 0, got ${process.env.GHOSTBATCH_TEST_PATIENCE}`,
  );
}

export function limitMs(milliseconds: number): number {
  return milliseconds * patience;
}
