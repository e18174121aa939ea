/** Signals while runs go on: a checkpoint, then an end with a code of its own. */
import { constants } from "node:os";
import type { RunControl } from "../experiments/run-control.ts";

/** What ends a process by a signal gives this exit code in a shell. */
export const exitCodeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

/** @param goOn how a stopped run is continued */
export const signalHelp = (goOn: string): string =>
  [
    `SIGINT (Ctrl-C), SIGTERM, SIGUSR2: a checkpoint after the step under way, then exit 130, 143, 140; ${goOn}.`,
    "A second SIGINT exits at once. With --on-usr2 continue, SIGUSR2 takes a checkpoint and the run goes on.",
  ].join("\n");

export type OnUsr2 = "stop" | "continue";

/** Runs `body` with signals passed on to `control`. */
export async function withSignals<T>(
  control: RunControl,
  { onUsr2 = "stop" }: { onUsr2?: OnUsr2 | undefined },
  body: () => Promise<T>,
): Promise<T> {
  const stop = (signal: NodeJS.Signals) => {
    console.error(`${signal}: stopping after the step under way`);
    control.requestStop({ by: signal, exitCode: exitCodeOf(signal) });
  };
  let interrupts = 0;
  const interrupt = (signal: NodeJS.Signals) => {
    if (++interrupts > 1) process.exit(exitCodeOf(signal));
    stop(signal);
  };
  const handlers: [NodeJS.Signals, (signal: NodeJS.Signals) => void][] = [
    ["SIGINT", interrupt],
    ["SIGTERM", stop],
  ];
  // Windows has no such signal.
  if (process.platform !== "win32") {
    handlers.push(["SIGUSR2", onUsr2 === "stop" ? stop : () => control.requestCheckpoint()]);
  }
  for (const [signal, handler] of handlers) process.on(signal, handler);
  try {
    return await body();
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}
