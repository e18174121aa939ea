/** Handles signals during runs: a checkpoint, then an end with the signal's exit code. */
import { constants } from "node:os";
import type { RunControl } from "../run/run-control.ts";

/** The exit code of a process ended by a signal, as in a shell. */
export const exitCodeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

/** Signals that end a run with a checkpoint: Ctrl-C, `kill`, a closed terminal, and the notice of a batch system. */
export const STOPPING: readonly NodeJS.Signals[] = [
  "SIGINT",
  "SIGTERM",
  "SIGHUP",
  // Windows has no such signal.
  ...(process.platform === "win32" ? [] : (["SIGUSR2"] as const)),
];

/** @param goOn how to continue a stopped run */
export const signalHelp = (goOn: string): string =>
  [
    "SIGINT (Ctrl-C), SIGTERM, SIGHUP (a closed terminal) and SIGUSR2 save a checkpoint after the current step, then exit 130, 143,",
    `129, 140; ${goOn}. Before the run has started they end the process at once.`,
    "A second SIGINT exits at once. With --on-usr2 continue, SIGUSR2 saves a checkpoint and the run continues.",
  ].join("\n");

export type OnUsr2 = "stop" | "continue";

/**
 * Runs `body`, and passes signals to `control` from the moment it has a run to save. Before that they have the system's effect:
 * they end the process at once, whatever it computes. (A listener in Node would wait for the end of the computation.)
 * @param options.isQuiet prints nothing, because another rank does
 */
export async function withSignals<T>(
  control: RunControl,
  { onUsr2 = "stop", isQuiet = false }: { onUsr2?: OnUsr2 | undefined; isQuiet?: boolean },
  body: () => Promise<T>,
): Promise<T> {
  let interrupts = 0;
  const stop = (signal: NodeJS.Signals) => {
    if (signal === "SIGINT" && ++interrupts > 1) process.exit(exitCodeOf(signal));
    control.requestStop({ by: signal, exitCode: exitCodeOf(signal) });
    if (!isQuiet) console.error(`${signal}: stopping after the current step`);
  };
  const handlers = STOPPING.map((signal): [NodeJS.Signals, (signal: NodeJS.Signals) => void] => [
    signal,
    signal === "SIGUSR2" && onUsr2 === "continue" ? () => control.requestCheckpoint() : stop,
  ]);
  control.onBegin(() => {
    for (const [signal, handler] of handlers) process.on(signal, handler);
  });
  try {
    return await body();
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}
