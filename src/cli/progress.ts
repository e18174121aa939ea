/** Shows a run's progress on standard error: a bar on a terminal, occasional lines elsewhere. */
import { SingleBar } from "cli-progress";
import type { Progress } from "../run/execute.ts";
import { formatDuration, formatQuantity } from "../support/format.ts";

/** Milliseconds between lines; one every five seconds is enough in a log file. */
const PLAIN_INTERVAL = 5000;
/** Shortest and longest bar in characters; it fills the space that the numbers leave. */
const BAR = { shortest: 10, longest: 30 };

export class ProgressLine {
  readonly #label: string;
  readonly #terminal = process.stderr.isTTY;
  #last = Number.NEGATIVE_INFINITY;
  #bar: SingleBar | null = null;
  /** The line of the last step. Its metrics arrive before its evaluation; it is printed once, with both. */
  #final: string | null = null;

  constructor(label: string) {
    this.#label = label;
  }

  show(progress: Progress): void {
    if (this.#terminal) this.#update(progress);
    else this.#printPlain(progress);
  }

  /** Prints a permanent line above the bar. */
  print(text: string): void {
    this.end();
    process.stderr.write(`${text}\n`);
  }

  /** Ends the bar, so that later output starts on a new line. */
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
        // The run handles signals, and a full bar is not the end: an evaluation follows.
        gracefulExit: false,
        stopOnComplete: false,
      });
      this.#bar.start(progress.totalSteps, progress.step, { shown: progress });
    }
    this.#bar.update(progress.step, { shown: progress });
  }
}

/** Speed, time left, loss and more, the most important first. */
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
 * One terminal line of `columns` characters: a bar, and as many complete numbers as fit.
 * @param share fraction of completed steps, 0 to 1
 */
export function barLine(label: string, share: number, progress: Progress, columns: number): string {
  const room = columns - 1 - BAR.shortest - 2; // the bar, with a space on each side
  let text = `${progress.step}/${progress.totalSteps}`;
  for (const part of numbersOf(progress)) {
    if (label.length + text.length + 2 + part.length <= room) text += `  ${part}`;
  }
  const name = label.slice(0, Math.max(0, room - text.length));
  const length = Math.min(BAR.longest, BAR.shortest + room - name.length - text.length);
  const done = Math.round(length * share);
  return `${name} ${"█".repeat(done)}${"░".repeat(Math.max(0, length - done))} ${text}`;
}
