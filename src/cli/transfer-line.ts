/** A progress line on standard error: rewritten in place on a terminal, printed occasionally elsewhere. */
import { clearLine, cursorTo } from "node:readline";
import type { LoadOptions } from "../datasets/load.ts";
import { formatCount } from "../support/format.ts";

/** Milliseconds between lines: ten per second are smooth on a terminal, one every five seconds is enough in a log file. */
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

  /** Ends the line, so that later output starts on a new one. */
  end(): void {
    if (this.#shown) process.stderr.write("\n");
    this.#shown = false;
  }
}

/**
 * How a command loads data sets: from the folder of --data-dir, with progress and warnings about images on
 * standard error.
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
