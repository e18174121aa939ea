// Signals to the command line: a checkpoint and the exit code where a run is under way, an end at once where none is yet.
import { execFileSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { ghostbatch } from "../support/command-line.ts";
import { InterruptedRuns } from "../support/interrupted-runs.ts";
import { outcome, requireDone } from "../support/kills.ts";
import { limitMs } from "../support/limits.ts";
import { startProgram } from "../support/program.ts";

const runs = new InterruptedRuns();

/** Processor time after which the command line has started and is at its work: a start takes 0.3 s. */
const STARTED_SECONDS = 0.7;

/** Processor time of a process so far. */
function secondsOf(pid: number): number {
  // Fields 14 and 15 of proc(5), in hundredths of a second; the name before them, in brackets, may have spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Opens a pipe to write to it, which ends what reads from it once it is closed; null where nothing reads from it yet. */
function openedByReader(pipe: string): number | null {
  try {
    return openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return null;
  }
}

describe("signals", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
    ["SIGUSR2", 140],
  ] as const)(
    "%s: a checkpoint, then exit %i, and --resume goes on to the same bits",
    async (signal, code) => {
      const name = `stopped-${signal}`;
      const program = await runs.start(name);
      program.child.kill(signal);
      const ended = await program.ended;
      expect(ended).toMatchObject({ code, signal: null });
      const step = Number(
        ended.stderr.match(
          /stopped by SIG\w+ after step (\d+) of 1200; continue with: ghostbatch train --resume \S+ --checkpoint-every 40$/m,
        )![1],
      );
      expect(runs.lastCheckpoints(name)).toContain(`last-${step}.safetensors`);
      const again = await ghostbatch(["train", "--resume", runs.folderOf(name)]);
      requireDone(again);
      expect(again.stderr).toContain(`resuming ${runs.folderOf(name)} after step ${step}`);
      expect(outcome(runs.folderOf(name))).toBe(runs.expected);
    },
  );

  // A file that never comes, and computations of minutes: what a process is at then does not matter.
  test.each([
    ["SIGTERM", "waits for its configuration", ["--config", "PIPE"]],
    ["SIGHUP", "makes data", ["--dataset", "synthetic:1x28x28:10:5000000:100"]],
    ["SIGUSR2", "makes data", ["--dataset", "synthetic:1x28x28:10:5000000:100", "--on-usr2", "stop"]],
    ["SIGINT", "plans a deep network", ["--hidden", "9000", "--width", "8", "--dry-run"]],
  ] as const)("%s while a process %s ends it at once, and leaves no folder", async (signal, _, options) => {
    const pipe = join(runs.directory, `${signal}.yaml`);
    execFileSync("mkfifo", [pipe]);
    const given = options.map((word) => (word === "PIPE" ? pipe : word));
    const program = startProgram(["train", ...given, "--runs-dir", runs.directory, "--name", "early"]);
    let writer = null;
    while (
      program.child.exitCode === null &&
      writer === null &&
      secondsOf(program.child.pid!) < STARTED_SECONDS
    ) {
      await sleep(10);
      writer = openedByReader(pipe);
    }
    program.child.kill(signal);
    const late = sleep(
      limitMs(10_000),
      { signal: "no end within 10 s, of minutes that it would take" },
      { ref: false },
    );
    expect(await Promise.race([program.ended, late])).toMatchObject({ signal, stdout: "" });
    expect(existsSync(runs.folderOf("early"))).toBe(false);
    if (writer !== null) closeSync(writer);
  });

  test("a second SIGINT exits at once", async () => {
    const program = await runs.start("interrupted-twice");
    program.child.kill("SIGINT");
    program.child.kill("SIGSTOP"); // so that both have arrived before it can look
    await sleep(50);
    program.child.kill("SIGINT");
    program.child.kill("SIGCONT");
    const interrupts = setTimeout(() => program.child.kill("SIGINT"), 20);
    expect((await program.ended).code).toBe(130);
    clearTimeout(interrupts);
    requireDone(await ghostbatch(["train", "--resume", runs.folderOf("interrupted-twice")]));
    expect(outcome(runs.folderOf("interrupted-twice"))).toBe(runs.expected);
  });

  test("SIGUSR2 with --on-usr2 continue: a checkpoint, and the run goes on", async () => {
    const name = "continuing";
    const options = ["--name", name, "--checkpoint-every", "never", "--on-usr2", "continue"];
    const program = startProgram(["train", ...runs.words, ...options]);
    const metrics = join(runs.folderOf(name), "metrics.jsonl");
    while (!existsSync(metrics) || readFileSync(metrics).length === 0) await sleep(5);
    program.child.kill("SIGUSR2");
    let seen = runs.lastCheckpoints(name);
    while (seen.length === 0 && program.child.exitCode === null) {
      await sleep(2);
      seen = runs.lastCheckpoints(name);
    }
    expect(seen).toHaveLength(1);
    requireDone(await program.ended);
    expect(outcome(runs.folderOf(name))).toBe(runs.expected);
  });
});
