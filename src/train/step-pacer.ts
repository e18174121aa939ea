/** Keeps a few steps in flight: enough to hide the cost of submission, few enough to stop quickly. */
import type { Gpu } from "../gpu/gpu.ts";

/** The most steps in the newest group; as many again may be in flight before it. */
const LONGEST_GROUP = 8;
/** The most GPU work in a group, ms. Long steps are awaited one by one. */
const GROUP_TIME = 100;

export class StepPacer {
  readonly #gpu: Gpu;
  #groupLength = 1;
  #submitted = 0;
  #since = performance.now();
  /** The group before the newest. */
  #fence: Promise<void> = Promise.resolve();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Waits if too much is in flight. @throws errors of the device */
  async stepSubmitted(): Promise<void> {
    if (++this.#submitted < this.#groupLength) return;
    await this.#fence;
    const now = performance.now();
    const stepTime = (now - this.#since) / this.#submitted;
    this.#groupLength = Math.max(
      1,
      Math.min(LONGEST_GROUP, Math.floor(GROUP_TIME / Math.max(stepTime, 0.01))),
    );
    this.#since = now;
    this.#submitted = 0;
    this.#fence = this.#gpu.settle();
    // Awaited with the next group. A run that ends before that must not leave an unhandled rejection.
    this.#fence.catch(() => undefined);
  }

  /** Call this after a read-back, which waits for everything. */
  caughtUp(): void {
    this.#since = performance.now();
    this.#submitted = 0;
  }
}
