// Signals to the command line: during a run a checkpoint and an exit code, before it an immediate end.
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

/** CPU time, in seconds, after which the command line has started and works: a start takes 0.3 s. */
const STARTED_SECONDS = 0.7;

/** CPU time of a process so far, in seconds. */
function secondsOf(pid: number): number {
  // Fields 14 and 15 of proc(5), in hundredths of a second; the name before them, in brackets, may have spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Opens a pipe for writing; closing it ends its reader. Null if nothing reads from it yet. */
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
  ] as const)("%s: a checkpoint, then exit %i; --resume ends with the same bits", async (signal, code) => {
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
  });

  // A file that never arrives, and computations that take minutes: the signal must not wait for them.
  test.each([
    ["SIGTERM", "waits for its configuration", ["--config", "PIPE"]],
    ["SIGHUP", "generates data", ["--dataset", "synthetic:1x28x28:10:5000000:100"]],
    ["SIGUSR2", "generates data", ["--dataset", "synthetic:1x28x28:10:5000000:100", "--on-usr2", "stop"]],
    ["SIGINT", "plans a deep network", ["--hidden", "9000", "--width", "8", "--dry-run"]],
  ] as const)("%s while a process %s ends it at once and leaves no folder", async (signal, _, options) => {
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
    const late = sleep(limitMs(10_000), { signal: "still running 10 s after the signal" }, { ref: false });
    expect(await Promise.race([program.ended, late])).toMatchObject({ signal, stdout: "" });
    expect(existsSync(runs.folderOf("early"))).toBe(false);
    if (writer !== null) closeSync(writer);
  });

  test("a second SIGINT exits at once", async () => {
    const program = await runs.start("interrupted-twice");
    program.child.kill("SIGINT");
    program.child.kill("SIGSTOP"); // so that both have arrived before it can react
    await sleep(50);
    program.child.kill("SIGINT");
    program.child.kill("SIGCONT");
    const interrupts = setTimeout(() => program.child.kill("SIGINT"), 20);
    expect((await program.ended).code).toBe(130);
    clearTimeout(interrupts);
    requireDone(await ghostbatch(["train", "--resume", runs.folderOf("interrupted-twice")]));
    expect(outcome(runs.folderOf("interrupted-twice"))).toBe(runs.expected);
  });

  test("SIGUSR2 with --on-usr2 continue: a checkpoint, and the run continues", async () => {
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
