/**
 * While a result of the GPU is awaited, Dawn's binding asks for it in every turn of Node's event loop, by a native callback
 * that it hands to setImmediate: a core is busy with asking. On a software adapter the cores are the GPU, and with two of them
 * 40 % of its speed goes there (a convolution that takes 5.3 ms takes 8.8), and each question leaves some 400 bytes of garbage.
 * Here every such turn sleeps a little first, longer the longer the wait has been.
 */

/** Milliseconds between two questions: at first, a hundredth of a training step or less, and at most. */
const PAUSE_MS = { first: 0.1, longest: 1 };
/** Parts of the wait so far that a pause is: an answer is noticed 3 % late at most, half of that on average. */
const PARTS_OF_WAIT = 32;
/** Milliseconds after the last question after which another one belongs to a new wait: something was done in between. */
const NEW_WAIT_MS = 0.2;

const NATIVE = "function () { [native code] }";
const never = new Int32Array(new SharedArrayBuffer(4));
let installed = false;

/** Slows the questions down for the rest of the process. Timers, streams and signals are served between them as before. */
export function pollPatiently(): void {
  if (installed) return;
  installed = true;
  const original = globalThis.setImmediate;
  let [waitingSince, lastAsked] = [0, 0];
  const pause = () => {
    const now = performance.now();
    if (now - lastAsked > NEW_WAIT_MS) waitingSince = now;
    const longer = Math.max(PAUSE_MS.first, (now - waitingSince) / PARTS_OF_WAIT);
    Atomics.wait(never, 0, 0, Math.min(PAUSE_MS.longest, longer)); // nobody wakes this thread early
    lastAsked = performance.now();
  };
  const patient = (callback: (...words: unknown[]) => void, ...words: unknown[]) => {
    // A promise's resolve function is native as well, but takes one argument.
    if (callback.length === 0 && String(callback) === NATIVE) pause();
    return original(callback, ...words);
  };
  // Its promisified form too.
  globalThis.setImmediate = Object.defineProperties(
    patient,
    Object.getOwnPropertyDescriptors(original),
  ) as typeof setImmediate;
}
