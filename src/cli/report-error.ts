/** Prints an error that ends a command. */
import { env } from "../support/env.ts";
import { EndedElsewhereError, GhostbatchError, messageOf, StoppedError } from "../support/errors.ts";

/**
 * Prints an error in the form for its kind.
 * @param who the process that has it, e.g. "rank 3 (node7)"; empty for a single process
 * @returns the exit code
 */
export function reportError(thrown: unknown, who = ""): number {
  const from = who === "" ? "" : `${who}: `;
  if (thrown instanceof EndedElsewhereError) return thrown.exitCode;
  if (thrown instanceof StoppedError) {
    console.error(`${from}${thrown.message}`);
    return thrown.exitCode;
  }
  if (thrown instanceof GhostbatchError) {
    console.error(`error: ${from}${messageOf(thrown)}`);
    if (env.debugLevel() > 0) console.error(thrown.stack);
    return thrown.exitCode;
  }
  console.error(
    `defect in ghostbatch: ${from}${messageOf(thrown)}\nplease report it with the command and this trace:`,
  );
  console.error(thrown instanceof Error ? thrown.stack : thrown);
  return 1;
}
