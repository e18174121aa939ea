// Running other programs, and failing with one line that says why.
import { spawn } from "node:child_process";

/** An error that stops the set-up: the cause on one line, and lines of advice. */
export class SetupError extends Error {
  /**
   * @param {string} cause
   * @param {string[]} [advice]
   */
  constructor(cause, advice = []) {
    super(cause);
    this.advice = advice;
  }
}

/**
 * Runs a program to its end without a terminal and returns what it wrote.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, signal?: AbortSignal, shell?: boolean,
 *   onStart?: (pid: number) => void }} [options]
 * @returns {Promise<{ stdout: string, stderr: string }>}
 * @throws {SetupError} if the program is missing or exits with a code other than 0
 */
export function run(program, args, { signal, onStart, ...options } = {}) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    if (child.pid !== undefined) onStart?.(child.pid);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
    // Also waits after abort(): what the program was writing can only be removed once it has ended.
    const stop = () => child.kill();
    signal?.addEventListener("abort", stop);
    child.on("error", (error) => {
      const missing = /** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT";
      reject(missing ? new SetupError(`${program}: not found on this machine`) : error);
    });
    child.on("close", (code, killedBy) => {
      signal?.removeEventListener("abort", stop);
      if (signal?.aborted) return reject(signal.reason);
      if (code === 0) return resolve({ stdout, stderr });
      const lines = (stderr.trim() || stdout.trim()).split("\n").slice(0, 12);
      const cause = lines.find((line) => /^E: |error (?!code )/i.test(line)) ?? lines.at(-1) ?? "";
      const end = killedBy ?? `code ${code}`;
      reject(
        new SetupError(
          `${program} ended with ${end}: ${cause}`,
          lines.filter((line) => line !== cause),
        ),
      );
    });
  });
}
