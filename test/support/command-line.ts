// The command line: as a user starts it, and inside this process, which takes milliseconds instead of a second.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { run } from "../../src/cli/program.ts";

export const BIN = fileURLToPath(new URL("../../bin/ghostbatch.mjs", import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  /** Without the two lines about limits with which Dawn greets every process on Vulkan. */
  readonly stderr: string;
}

/** Runs a program to its end. */
export function outcomeOf(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const text = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8").on("data", (part: string) => {
        text[stream] += part;
      });
    }
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({
        code,
        stdout: text.stdout,
        stderr: text.stderr.replaceAll(/^Warning: maxDynamic.*\n/gm, ""),
      });
    });
  });
}

/** Runs bin/ghostbatch.mjs with these arguments, on the node that runs the tests. */
export function startGhostbatch(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return outcomeOf(process.execPath, [BIN, ...args], { DEBUG: "", ...env });
}

/** What bin/ghostbatch.mjs does with these arguments, without a process of its own. One at a time. */
export async function ghostbatch(args: readonly string[]): Promise<Outcome> {
  const text = { stdout: "", stderr: "" };
  const { exitCode } = process;
  const spies = (["stdout", "stderr"] as const).flatMap((stream) => [
    vi.spyOn(process[stream], "write").mockImplementation((part) => {
      text[stream] += String(part);
      return true;
    }),
    vi.spyOn(console, stream === "stdout" ? "log" : "error").mockImplementation((...parts) => {
      text[stream] += `${parts.join(" ")}\n`;
    }),
  ]);
  try {
    const code = await run([process.execPath, BIN, ...args]);
    return { code, ...text };
  } finally {
    for (const spy of spies) spy.mockRestore();
    process.exitCode = exitCode;
  }
}
