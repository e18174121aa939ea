/** Watches a worker of the bench tab: if it is silent for too long, ends it, so that another can be created. */
import type { FromBench, ToBench } from "./bench-messages.ts";

export class BenchSession {
  readonly #worker: Worker;
  readonly #limitMs: number;
  readonly #onMessage: (message: FromBench) => void;
  #timer: number | undefined;
  #phase = "starting";

  /**
   * @param limitMs the longest that one step of the work may take, compilation included
   * @param onMessage receives each message, and an `error` if the worker had to be ended
   */
  constructor(limitMs: number, onMessage: (message: FromBench) => void) {
    this.#limitMs = limitMs;
    this.#onMessage = onMessage;
    this.#worker = new Worker(new URL("./bench-worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromBench>) => {
      if (data.kind === "phase") this.#phase = data.phase;
      // During work, every message is a sign of life.
      if (this.#timer !== undefined) this.#watch();
      if (data.kind === "done" || data.kind === "error" || data.kind === "missing") this.#rest();
      this.#onMessage(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.close();
      onMessage({
        kind: "error",
        message: event.message || "the worker of the benchmarks could not be loaded",
      });
    };
  }

  send(message: ToBench): void {
    if (message.kind !== "source") this.#watch();
    this.#worker.postMessage(message);
  }

  /** Ends the worker and its device, whatever it is doing. */
  close(): void {
    this.#rest();
    this.#worker.terminate();
  }

  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.close();
      const seconds = Math.round(this.#limitMs / 1000);
      this.#onMessage({
        kind: "error",
        message: `no end after ${seconds} s while ${this.#phase}: the device was given up`,
      });
    }, this.#limitMs);
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
