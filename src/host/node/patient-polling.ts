/**
 * While a GPU result is awaited, Dawn's binding polls for it in every iteration of Node's event loop, with a native callback
 * passed to setImmediate, which keeps a core busy. On a software adapter the cores are the GPU: with two of them,
 * polling costs 40 % of the speed (a convolution of 5.3 ms takes 8.8), and each poll leaves about 400 bytes of garbage.
 * Here every such iteration first sleeps a little, longer the longer the wait has been.
 */

/** Milliseconds between two polls: at first, a hundredth of a training step or less, and at most. */
const PAUSE_MS = { first: 0.1, longest: 1 };
/** The pause is this fraction of the wait so far: an answer is noticed at most 3 % late, half of that on average. */
const PARTS_OF_WAIT = 32;
/** Milliseconds after the last poll after which the next one belongs to a new wait. */
const NEW_WAIT_MS = 0.2;

const NATIVE = "function () { [native code] }";
const never = new Int32Array(new SharedArrayBuffer(4));
let installed = false;

/** Slows polling down for the rest of the process. Timers, streams and signals are served between polls as before. */
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
    // A promise's resolve function is also native, but takes one argument.
    if (callback.length === 0 && String(callback) === NATIVE) pause();
    return original(callback, ...words);
  };
  // Also its promisified form.
  globalThis.setImmediate = Object.defineProperties(
    patient,
    Object.getOwnPropertyDescriptors(original),
  ) as typeof setImmediate;
}
