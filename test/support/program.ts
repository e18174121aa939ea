// Separate processes: the command line on the node that runs the tests, which has their GPU, and any other program.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The checkout's command line, always built from the present sources. */
export const BIN = fileURLToPath(new URL("../../bin/ghostbatch.mjs", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Program {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

interface Options {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts any program; `ended` is rejected if there is none with that name. */
export function start(program: string, args: readonly string[], { env, ...options }: Options = {}): Program {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
    env: { ...process.env, ...env },
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      texts[name] += text;
    });
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      resolve({ code, signal, ...texts });
    });
  });
  return { child, ended };
}

/** Starts the command line with these arguments. */
export function startProgram(args: readonly string[], { env, ...options }: Options = {}): Program {
  return start(process.execPath, [BIN, ...args], {
    ...options,
    env: { DEBUG: "", NO_COLOR: "1", ...env },
  });
}

/** Runs it to its end. */
export function runProgram(args: readonly string[], options: Options = {}): Promise<Ended> {
  return startProgram(args, options).ended;
}
