// The command line inside this process, which takes milliseconds where a separate process takes a second.
import { vi } from "vitest";
import { run } from "../../src/cli/program.ts";
import { BIN, type Ended } from "./program.ts";

export type Outcome = Pick<Ended, "code" | "stdout" | "stderr">;

/** Does what bin/ghostbatch.mjs does with these arguments, in this process. One call at a time. */
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
