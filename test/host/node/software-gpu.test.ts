import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describe, expect, test } from "vitest";
import { softwareNodePath } from "../../../src/host/node/software-gpu.ts";
import { builtProgram } from "../../support/built-program.ts";
import { killCommands } from "../../support/orphans.ts";
import { BIN } from "../../support/program.ts";

const PROGRAM = await builtProgram("relaunched-program");

describe.skipIf(softwareNodePath() === null)("a program relaunched on the software GPU", () => {
  test("passes each signal on once, and exits with the code of the relaunched one", async () => {
    const { program, ended } = await start("count");
    program.kill("SIGINT");
    expect(String((await once(program.stdout!, "data"))[0])).toBe("interrupt 1\n");
    program.kill("SIGUSR2");
    expect(await ended).toEqual([11, null]);
  });

  test("says once what is to be said before a GPU is opened", () => {
    // A batch that ghosts do not divide, and a data folder without MNIST's files.
    const words = ["train", "--dry-run", "--batch-size", "50", "--ghost-size", "30"];
    for (const more of [[], ["--data-dir", tmpdir()]]) {
      const { status, stderr } = spawnSync("node", [BIN, ...words, ...more], { encoding: "utf8" });
      const warnings = stderr.split("\n").filter((line) => line.startsWith("warning: "));
      expect([status, warnings.length]).toEqual([0, new Set(warnings).size]);
      expect(warnings.length).toBeGreaterThan(more.length / 2);
    }
  });

  test("ends by the signal that ended the relaunched one", async () => {
    const { relaunched, ended } = await start("wait");
    process.kill(relaunched, "SIGTERM");
    expect(await ended).toEqual([null, "SIGTERM"]);
  });

  // Without setpriv only a closing channel ends the child, and a stopped process does not notice that.
  test.each([
    ["the kernel ends it", true],
    ["the closing channel ends it", false],
  ])("takes the relaunched one with it when it is killed at any moment: %s", async (_, hasSetpriv) => {
    const bin = mkdtempSync(join(tmpdir(), "ghostbatch-no-setpriv-"));
    writeFileSync(join(bin, "setpriv"), "#!/bin/sh\nexit 127\n", { mode: 0o755 });
    const mark = `killed-relaunched-${process.pid}`;
    try {
      const report = await killCommands({
        words: [PROGRAM, "wait", mark],
        mark,
        count: 6,
        seed: 5,
        within: 1500,
        pauses: hasSetpriv,
        env: hasSetpriv ? {} : { PATH: `${bin}${delimiter}${process.env.PATH}` },
      });
      expect(report).toMatchObject({ killed: 6, orphans: 0 });
    } finally {
      rmSync(bin, { recursive: true });
    }
  });
});

interface Started {
  readonly program: ChildProcess;
  /** Process id of the relaunched program. */
  readonly relaunched: number;
  /** Exit code and signal of `program`. */
  readonly ended: Promise<unknown[]>;
}

/** Starts the program on the node of PATH, and waits until it has been relaunched. */
async function start(task: "count" | "wait"): Promise<Started> {
  const program = spawn("node", [PROGRAM, task], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(program, "exit");
  const [line] = await once(program.stdout, "data");
  const relaunched = Number(/^pid (\d+)/.exec(String(line))?.[1]);
  expect(relaunched).not.toBe(program.pid);
  return { program, relaunched, ended };
}
