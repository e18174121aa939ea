/** Keeps a few steps submitted but not finished: enough to hide the submission, few enough to stop quickly. */
import type { Gpu } from "../gpu/gpu.ts";

/** Steps of the newest group at most; as many again may be in flight before it. */
const LONGEST_GROUP = 8;
/** Milliseconds of GPU work in a group at most: steps that take long are waited for one by one. */
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

  /** Waits where too much has been submitted. @throws what went wrong on the device meanwhile */
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
    // Awaited with the next group; a run that ends before must not leave an unhandled rejection.
    this.#fence.catch(() => undefined);
  }

  /** To be called when a read-back has waited for everything. */
  caughtUp(): void {
    this.#since = performance.now();
    this.#submitted = 0;
  }
}
