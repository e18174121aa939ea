/** Milliseconds that one timer of Node waits at most: a longer one ends at once. */
const LONGEST = 2 ** 31 - 1;

/**
 * Calls `body` once after any length of time, in parts where one timer does not reach.
 * @returns what cancels it
 */
export function afterMilliseconds(ms: number, body: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const wait = (left: number) => {
    timer = setTimeout(() => (left > LONGEST ? wait(left - LONGEST) : body()), Math.min(left, LONGEST));
  };
  wait(ms);
  return () => clearTimeout(timer);
}
