import { UsageError } from "./errors.ts";

/**
 * Checks a size or count given by a user.
 * @param what its name in the message, e.g. "batch size"
 * @throws UsageError unless it is a whole number of at least 1
 */
export function requireWhole(what: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new UsageError(`${what}: expected a whole number of at least 1, got ${value}`);
  }
}
