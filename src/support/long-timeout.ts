/** The longest delay of one Node timer, ms. A longer one would fire at once. */
const LONGEST = 2 ** 31 - 1;

/**
 * Calls `body` once after a delay of any length, with several timers in sequence if one is too short.
 * @returns a function that cancels it
 */
export function afterMilliseconds(ms: number, body: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const wait = (left: number) => {
    timer = setTimeout(() => (left > LONGEST ? wait(left - LONGEST) : body()), Math.min(left, LONGEST));
  };
  wait(ms);
  return () => clearTimeout(timer);
}
