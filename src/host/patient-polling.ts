/**
 * While a result of the GPU is awaited, Dawn's binding asks for it in every turn of Node's event loop, by a native callback
 * that it hands to setImmediate: a core is busy with asking. On a software adapter the cores are the GPU, and with two of them
 * 40 % of its speed goes there (a convolution that takes 5.3 ms takes 8.8). Here every such turn sleeps a little first.
 */

/** Milliseconds between two questions: a hundredth of a training step or less. */
const PAUSE_MS = 0.1;

const NATIVE = "function () { [native code] }";
const never = new Int32Array(new SharedArrayBuffer(4));
let installed = false;

/** Slows the questions down for the rest of the process. Timers, streams and signals are served between them as before. */
export function pollPatiently(): void {
  if (installed) return;
  installed = true;
  const original = globalThis.setImmediate;
  const patient = (callback: (...words: unknown[]) => void, ...words: unknown[]) => {
    // A promise's resolve function is native as well, but takes one argument; a bound function without any only comes later. Nobody wakes this thread early.
    if (callback.length === 0 && String(callback) === NATIVE) Atomics.wait(never, 0, 0, PAUSE_MS);
    return original(callback, ...words);
  };
  // Its promisified form too.
  globalThis.setImmediate = Object.defineProperties(
    patient,
    Object.getOwnPropertyDescriptors(original),
  ) as typeof setImmediate;
}
