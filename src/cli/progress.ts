/** A run going on, on standard error: a bar on a terminal, now and then a line elsewhere. */
import { SingleBar } from "cli-progress";
import type { Progress } from "../run/execute.ts";
import { formatDuration, formatQuantity } from "../support/format.ts";

/** Milliseconds between lines: one in five seconds is enough in a log file. */
const PLAIN_INTERVAL = 5000;
/** Characters of the bar: what the numbers leave of the terminal's width, between these. */
const BAR = { shortest: 10, longest: 30 };

export class ProgressLine {
  readonly #label: string;
  readonly #terminal = process.stderr.isTTY;
  #last = Number.NEGATIVE_INFINITY;
  #bar: SingleBar | null = null;
  /** The line of the last step. Its metrics come first and its evaluation after them: it is printed once, with both. */
  #final: string | null = null;

  constructor(label: string) {
    this.#label = label;
  }

  show(progress: Progress): void {
    if (this.#terminal) this.#update(progress);
    else this.#printPlain(progress);
  }

  /** A line that stays, above the bar. */
  print(text: string): void {
    this.end();
    process.stderr.write(`${text}\n`);
  }

  /** Ends the bar, so that what is printed next starts on a line of its own. */
  end(): void {
    this.#bar?.stop();
    this.#bar = null;
    if (this.#final !== null) process.stderr.write(`${this.#final}\n`);
    this.#final = null;
  }

  #printPlain(progress: Progress): void {
    const { step, totalSteps } = progress;
    const text = [`${this.#label} step ${step}/${totalSteps}`, ...numbersOf(progress)].join("  ");
    if (step === totalSteps) {
      this.#final = text;
      return;
    }
    const now = performance.now();
    if (now - this.#last < PLAIN_INTERVAL) return;
    this.#last = now;
    process.stderr.write(`${text}\n`);
  }

  #update(progress: Progress): void {
    if (this.#bar === null) {
      this.#bar = new SingleBar({
        stream: process.stderr,
        format: (_, { progress: share }, { shown }: { shown: Progress }) =>
          barLine(this.#label, share, shown, process.stderr.columns ?? 80),
        // Signals are the run's own business, and a bar that is full is not the end: an evaluation follows.
        gracefulExit: false,
        stopOnComplete: false,
      });
      this.#bar.start(progress.totalSteps, progress.step, { shown: progress });
    }
    this.#bar.update(progress.step, { shown: progress });
  }
}

/** Speed, time left, loss, and what else there is to say, the most important first. */
function numbersOf({ imagesPerSecond, secondsLeft, loss, testAccuracy, waitMs = 0 }: Progress): string[] {
  return [
    formatQuantity(imagesPerSecond, "images/s"),
    `ETA ${formatDuration(secondsLeft)}`,
    `loss ${loss.toFixed(4)}`,
    ...(testAccuracy === null ? [] : [`test accuracy ${testAccuracy.toFixed(2)} %`]),
    ...(waitMs > 0 ? [`waited for images ${formatDuration(waitMs / 1000)}`] : []),
  ];
}

/**
 * One line of a terminal of `columns` characters: whole numbers only, as many as there is room for beside a bar.
 * @param share of the steps that is done, 0 to 1
 */
export function barLine(label: string, share: number, progress: Progress, columns: number): string {
  const room = columns - 1 - BAR.shortest - 2; // the bar, and a space on each side of it
  let text = `${progress.step}/${progress.totalSteps}`;
  for (const part of numbersOf(progress)) {
    if (label.length + text.length + 2 + part.length <= room) text += `  ${part}`;
  }
  const name = label.slice(0, Math.max(0, room - text.length));
  const length = Math.min(BAR.longest, BAR.shortest + room - name.length - text.length);
  const done = Math.round(length * share);
  return `${name} ${"█".repeat(done)}${"░".repeat(Math.max(0, length - done))} ${text}`;
}
