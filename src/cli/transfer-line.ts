/** One line on standard error about something that takes a while: rewritten in place on a terminal, rare elsewhere. */
import { clearLine, cursorTo } from "node:readline";
import type { LoadOptions } from "../datasets/load.ts";
import { formatCount } from "../support/format.ts";

/** Milliseconds between lines: ten a second are smooth on a terminal, one in five seconds is enough in a log file. */
const TERMINAL_INTERVAL = 100;
const PLAIN_INTERVAL = 5000;

export class TransferLine {
  readonly #terminal = process.stderr.isTTY;
  #last = performance.now();
  #shown = false;

  show(text: string): void {
    const now = performance.now();
    if (now - this.#last < (this.#terminal ? TERMINAL_INTERVAL : PLAIN_INTERVAL)) return;
    this.#last = now;
    if (!this.#terminal) {
      process.stderr.write(`${text}\n`);
      return;
    }
    cursorTo(process.stderr, 0);
    process.stderr.write(text.slice(0, (process.stderr.columns ?? 80) - 1));
    clearLine(process.stderr, 1);
    this.#shown = true;
  }

  /** Ends the line, so that what is printed next starts on one of its own. */
  end(): void {
    if (this.#shown) process.stderr.write("\n");
    this.#shown = false;
  }
}

/**
 * How a command loads data sets: from the folder of --data-dir, with reports on standard error of images decoded the first
 * time, and of what is wrong with some.
 */
export function loadOptions({
  dataDir,
  baseDirectory,
}: Pick<LoadOptions, "dataDir" | "baseDirectory">): LoadOptions {
  const line = new TransferLine();
  return {
    dataDir,
    baseDirectory,
    onProgress: ({ done, total }) => {
      line.show(`decoding images: ${formatCount(done)} of ${formatCount(total)}`);
      if (done === total) line.end();
    },
    onWarning: (text) => {
      line.end();
      console.error(`warning: ${text}`);
    },
  };
}
