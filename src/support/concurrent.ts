/**
 * Calls `work` for 0 … count−1, in that order, with at most `limit` calls under way. After a failure no more are
 * started, and the first failure is thrown once those under way have ended.
 */
export async function forEachConcurrent(
  count: number,
  limit: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failure: { readonly cause: unknown } | null = null;
  const lane = async () => {
    while (next < count && failure === null) {
      try {
        await work(next++);
      } catch (cause) {
        failure ??= { cause };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, count) }, lane));
  if (failure !== null) throw (failure as { readonly cause: unknown }).cause;
}
