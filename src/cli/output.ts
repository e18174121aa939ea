/** Standard output and standard error where nobody takes what is written: a reader that has gone, a full disk. */
import { errorCode, fileError } from "../storage/file-error.ts";

export interface Output {
  /**
   * Waits until everything is written.
   * @param exitCode what the process would leave with
   * @returns that, or the code of a result that could not be written
   */
  end(exitCode: number): Promise<number>;
}

/**
 * Keeps a line that cannot be written from ending the process: a run goes on without its lines. What is lost of a result, on
 * standard output, is told at the end; not of one whose reader had enough, as `head` has.
 */
export function keepOutput(): Output {
  let lost: Error | null = null;
  process.stderr.on("error", () => undefined);
  process.stdout.on("error", (error) => {
    lost ??= error;
  });
  return {
    async end(exitCode) {
      await written(process.stdout);
      const error =
        lost !== null && errorCode(lost) !== "EPIPE" ? fileError(lost, "write", "standard output") : null;
      if (error) console.error(`error: ${error.message}`);
      await written(process.stderr);
      return error && exitCode === 0 ? error.exitCode : exitCode;
    },
  };
}

/** Resolves when all that came before has been written, or has failed. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write("", () => setImmediate(resolve)));
}
