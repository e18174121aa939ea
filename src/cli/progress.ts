/** One line on standard error that shows a run going on: rewritten in place on a terminal, now and then elsewhere. */
import { clearLine, cursorTo } from "node:readline";
import type { Progress } from "../experiments/execute.ts";
import { formatDuration, formatQuantity } from "../support/format.ts";

/** Milliseconds between lines: ten a second are smooth on a terminal, one in five seconds is enough in a log file. */
const TERMINAL_INTERVAL = 100;
const PLAIN_INTERVAL = 5000;

export class ProgressLine {
  readonly #label: string;
  readonly #terminal = process.stderr.isTTY;
  #last = 0;
  /** Whether the terminal's cursor stands behind the line. */
  #shown = false;

  constructor(label: string) {
    this.#label = label;
  }

  show(progress: Progress): void {
    const now = performance.now();
    const done = progress.step === progress.totalSteps;
    if (!done && now - this.#last < (this.#terminal ? TERMINAL_INTERVAL : PLAIN_INTERVAL)) return;
    this.#last = now;
    const { step, totalSteps, imagesPerSecond, secondsLeft, loss, testAccuracy, waitMs = 0 } = progress;
    const parts = [
      `${this.#label} step ${step}/${totalSteps}`,
      formatQuantity(imagesPerSecond, "images/s"),
      `ETA ${formatDuration(secondsLeft)}`,
      `loss ${loss.toFixed(4)}`,
      ...(waitMs > 0 ? [`waited for images ${formatDuration(waitMs / 1000)}`] : []),
      ...(testAccuracy === null ? [] : [`test accuracy ${testAccuracy.toFixed(2)} %`]),
    ];
    this.#write(parts.join("  "));
  }

  /** A line that stays, above the one that is rewritten. */
  print(text: string): void {
    this.end();
    process.stderr.write(`${text}\n`);
  }

  /** Ends the line, so that what is printed next starts on one of its own. */
  end(): void {
    if (this.#terminal && this.#shown) process.stderr.write("\n");
    this.#shown = false;
  }

  #write(text: string): void {
    if (!this.#terminal) {
      process.stderr.write(`${text}\n`);
      return;
    }
    this.#shown = true;
    cursorTo(process.stderr, 0);
    process.stderr.write(text.slice(0, (process.stderr.columns ?? 80) - 1));
    clearLine(process.stderr, 1);
  }
}
