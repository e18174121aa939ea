/** Signals while runs go on: a checkpoint, then an end with a code of its own. */
import { constants } from "node:os";
import type { RunControl } from "../run/run-control.ts";

/** What ends a process by a signal gives this exit code in a shell. */
export const exitCodeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

/** Signals that end a run with a checkpoint: Ctrl-C, `kill`, a terminal that is closed, and the notice of a batch system. */
export const STOPPING: readonly NodeJS.Signals[] = [
  "SIGINT",
  "SIGTERM",
  "SIGHUP",
  // Windows has no such signal.
  ...(process.platform === "win32" ? [] : (["SIGUSR2"] as const)),
];

/** @param goOn how a stopped run is continued */
export const signalHelp = (goOn: string): string =>
  [
    "SIGINT (Ctrl-C), SIGTERM, SIGHUP (a closed terminal) and SIGUSR2 save a checkpoint after the current step, then exit 130, 143,",
    `129, 140; ${goOn}. Before the run has started they end the process at once.`,
    "A second SIGINT exits at once. With --on-usr2 continue, SIGUSR2 saves a checkpoint and the run continues.",
  ].join("\n");

export type OnUsr2 = "stop" | "continue";

/**
 * Runs `body`, and passes signals on to `control` from the moment it has a run to keep. Before, they do what the system does:
 * end the process at once, whatever it computes. (A listener of Node's would wait for the end of that.)
 * @param options.isQuiet says nothing: another rank does
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
