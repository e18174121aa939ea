/** Handles failures of standard output and standard error: a reader that has gone, a full disk. */
import { errorCode, fileError } from "../storage/file-error.ts";

export interface Output {
  /**
   * Waits until everything is written.
   * @param exitCode the process's exit code so far
   * @returns that, or the code for a result that could not be written
   */
  end(exitCode: number): Promise<number>;
}

/**
 * Keeps a failed write from ending the process: a run continues without its lines. Lost results on
 * standard output are reported at the end, unless the reader closed the pipe, as `head` does.
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

/** Resolves when everything before has been written, or has failed. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write("", () => setImmediate(resolve)));
}
