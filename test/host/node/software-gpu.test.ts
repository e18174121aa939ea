import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { softwareNodePath } from "../../../src/host/node/software-gpu.ts";

const PROGRAM = fileURLToPath(new URL("../../support/relaunched-program.ts", import.meta.url));

describe.skipIf(softwareNodePath() === null)("a program relaunched on the software GPU", () => {
  test("passes each signal on once, and leaves with the exit code of the relaunched one", async () => {
    const { program, ended } = await start("count");
    program.kill("SIGINT");
    await sleep(300);
    program.kill("SIGUSR2");
    expect(await ended).toEqual([11, null]);
  });

  test("ends by the signal that ended the relaunched one", async () => {
    const { relaunched, ended } = await start("wait");
    process.kill(relaunched, "SIGTERM");
    expect(await ended).toEqual([null, "SIGTERM"]);
  });

  test("takes the relaunched one with it when it is killed", async () => {
    const { program, relaunched } = await start("wait");
    program.kill("SIGKILL");
    await expect.poll(() => isAlive(relaunched), { timeout: 30_000 }).toBe(false);
  });
});

interface Started {
  readonly program: ChildProcess;
  /** Process id of the relaunched program. */
  readonly relaunched: number;
  /** Exit code and signal of `program`. */
  readonly ended: Promise<unknown[]>;
}

/** Starts the program on the node of PATH, and waits until it runs anew. */
async function start(task: "count" | "wait"): Promise<Started> {
  const program = spawn("node", ["--import", "tsx", PROGRAM, task], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(program, "exit");
  const [line] = await once(program.stdout, "data");
  const relaunched = Number(/^pid (\d+)/.exec(String(line))?.[1]);
  expect(relaunched).not.toBe(program.pid);
  return { program, relaunched, ended };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
