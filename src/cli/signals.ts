/** Signals while runs go on: a checkpoint, then an end with a code of its own. */
import { constants } from "node:os";
import { type RunControl, stoppedBefore } from "../run/run-control.ts";

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
    "SIGINT (Ctrl-C), SIGTERM, SIGHUP (a closed terminal), SIGUSR2: a checkpoint after the step under way, then exit 130, 143,",
    `129, 140; ${goOn}. Before the first step there is nothing to keep, and they end it at once.`,
    "A second SIGINT exits at once. With --on-usr2 continue, SIGUSR2 takes a checkpoint and the run goes on.",
  ].join("\n");

export type OnUsr2 = "stop" | "continue";

/** Runs `body` with signals passed on to `control`, which knows whether there is a run to keep. */
export async function withSignals<T>(
  control: RunControl,
  { onUsr2 = "stop" }: { onUsr2?: OnUsr2 | undefined },
  body: () => Promise<T>,
): Promise<T> {
  let abandon!: (error: Error) => void;
  const abandoned = new Promise<never>((_, reject) => {
    abandon = reject;
  });
  let interrupts = 0;
  const stop = (signal: NodeJS.Signals) => {
    if (signal === "SIGINT" && ++interrupts > 1) process.exit(exitCodeOf(signal));
    const request = { by: signal, exitCode: exitCodeOf(signal) };
    control.requestStop(request);
    if (control.underWay) console.error(`${signal}: stopping after the step under way`);
    else abandon(stoppedBefore(request));
  };
  const handlers = STOPPING.map((signal): [NodeJS.Signals, (signal: NodeJS.Signals) => void] => [
    signal,
    signal === "SIGUSR2" && onUsr2 === "continue" ? () => control.requestCheckpoint() : stop,
  ]);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  try {
    return await Promise.race([body(), abandoned]);
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}
