// The command line as processes: signals, their exit codes, and what --resume takes and refuses.

import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ghostbatch } from "../support/command-line.ts";
import { killRuns, outcome, requireDone } from "../support/kills.ts";
import { limitMs } from "../support/limits.ts";
import { type Program, runProgram, startProgram } from "../support/program.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-resume-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const CONFIGURATION = `
dataset: synthetic:1x7x7:4:150:40
width: 16
hidden: 2
batchSize: 50
ghostSize: 10
evaluateEvery: 9
epochs: 100000
maxSteps: 1200
`;
const config = join(runsDirectory, "config.yaml");
const words = ["--config", config, "--runs-dir", runsDirectory];
let expected: string;

beforeAll(async () => {
  writeFileSync(config, CONFIGURATION);
  requireDone(await runProgram(["train", ...words, "--name", "undisturbed"]));
  expected = outcome(join(runsDirectory, "undisturbed"));
});

const folderOf = (name: string) => join(runsDirectory, name);
/** Whole ones: the tensors get their name last. */
const lastCheckpoints = (name: string) => {
  const folder = join(folderOf(name), "checkpoints");
  return existsSync(folder) ? readdirSync(folder).filter((file) => /^last-\d+\.safetensors$/.test(file)) : [];
};

/** A run that writes a checkpoint every few steps, once it has written so many: on a slow disk each takes half of the run. */
async function startRun(name: string, checkpoints = 1): Promise<Program> {
  const program = startProgram(["train", ...words, "--name", name, "--checkpoint-every", "40"]);
  while (lastCheckpoints(name).length < checkpoints && program.child.exitCode === null) await sleep(5);
  return program;
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
      const program = await startRun(name);
      program.child.kill(signal);
      const ended = await program.ended;
      expect(ended).toMatchObject({ code, signal: null });
      const step = Number(
        ended.stderr.match(
          /stopped by SIG\w+ after step (\d+) of 1200; continue with: ghostbatch train --resume \S+ --checkpoint-every 40$/m,
        )![1],
      );
      expect(lastCheckpoints(name)).toContain(`last-${step}.safetensors`);
      const again = await runProgram(["train", "--resume", folderOf(name)]);
      requireDone(again);
      expect(again.stderr).toContain(`resuming ${folderOf(name)} after step ${step}`);
      expect(outcome(folderOf(name))).toBe(expected);
    },
  );

  // A file that never comes, and computations of minutes: what a process is at then does not matter.
  test.each([
    ["SIGTERM", "waits for its configuration", ["--config", "PIPE"]],
    ["SIGHUP", "makes data", ["--dataset", "synthetic:1x28x28:10:5000000:100"]],
    ["SIGUSR2", "makes data", ["--dataset", "synthetic:1x28x28:10:5000000:100", "--on-usr2", "stop"]],
    ["SIGINT", "plans a deep network", ["--hidden", "9000", "--width", "8", "--dry-run"]],
  ] as const)("%s while a process %s ends it at once, and leaves no folder", async (signal, _, options) => {
    const pipe = join(runsDirectory, "pipe.yaml");
    if (!existsSync(pipe)) execFileSync("mkfifo", [pipe]);
    const given = options.map((word) => (word === "PIPE" ? pipe : word));
    const program = startProgram(["train", ...given, "--runs-dir", runsDirectory, "--name", "early"]);
    await Promise.race([sleep(1500), program.ended]);
    program.child.kill(signal);
    const late = sleep(
      limitMs(10_000),
      { signal: "no end within 10 s, of minutes that it would take" },
      { ref: false },
    );
    expect(await Promise.race([program.ended, late])).toMatchObject({ signal, stdout: "" });
    expect(existsSync(folderOf("early"))).toBe(false);
  });

  test("a second SIGINT exits at once", async () => {
    const program = await startRun("interrupted-twice");
    program.child.kill("SIGINT");
    program.child.kill("SIGSTOP"); // so that both have arrived before it can look
    await sleep(50);
    program.child.kill("SIGINT");
    program.child.kill("SIGCONT");
    const interrupts = setTimeout(() => program.child.kill("SIGINT"), 20);
    expect((await program.ended).code).toBe(130);
    clearTimeout(interrupts);
    requireDone(await runProgram(["train", "--resume", folderOf("interrupted-twice")]));
    expect(outcome(folderOf("interrupted-twice"))).toBe(expected);
  });

  test("SIGUSR2 with --on-usr2 continue: a checkpoint, and the run goes on", async () => {
    const name = "continuing";
    const options = ["--name", name, "--checkpoint-every", "never", "--on-usr2", "continue"];
    const program = startProgram(["train", ...words, ...options]);
    const metrics = join(folderOf(name), "metrics.jsonl");
    while (!existsSync(metrics) || readFileSync(metrics).length === 0) await sleep(5);
    program.child.kill("SIGUSR2");
    let seen = lastCheckpoints(name);
    while (seen.length === 0 && program.child.exitCode === null) {
      await sleep(2);
      seen = lastCheckpoints(name);
    }
    expect(seen).toHaveLength(1);
    requireDone(await program.ended);
    expect(outcome(folderOf(name))).toBe(expected);
  });
});

describe("--resume", () => {
  beforeAll(async () => {
    for (const name of ["older", "newer"]) {
      const program = await startRun(name);
      program.child.kill("SIGTERM");
      await program.ended;
    }
  });

  test("refuses an option that would alter the result, by name", async () => {
    const { code, stderr } = await ghostbatch([
      "train",
      "--resume",
      folderOf("newer"),
      "--batch-size",
      "100",
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^error: --batch-size 100: this run was started with 50; a different value would change its result\..*\n$/,
    );
  });

  test("says what is wrong with what it is given", async () => {
    const missing = await ghostbatch(["train", "--resume", join(runsDirectory, "nothing")]);
    expect([missing.code, missing.stderr]).toEqual([
      2,
      `error: --resume ${join(runsDirectory, "nothing")}: no such folder\n`,
    ]);
    const nothing = join(runsDirectory, "no-run");
    mkdirSync(nothing);
    const unknown = await ghostbatch(["train", "--resume", "nobody", "--runs-dir", runsDirectory]);
    expect(unknown.stderr).toBe(
      `error: --resume nobody: no such folder, and no run of that name in ${runsDirectory}\n`,
    );
    const without = await ghostbatch(["train", "--resume", nothing, "--log-every", "1024"]);
    expect([without.code, without.stderr]).toEqual([
      2,
      `error: --resume ${nothing}: not a run folder: config.yaml is missing\n`,
    ]);
    const seldom = await ghostbatch(["train", "--resume", nothing, "--log-every", "1025"]);
    expect(seldom.code).toBe(2);
    expect(seldom.stderr).toMatch(/--log-every.*Expected a whole number from 1 to 1024/);
    const empty = await ghostbatch(["train", "--resume", "--runs-dir", join(runsDirectory, "none")]);
    expect([empty.code, empty.stderr]).toEqual([
      2,
      `error: --resume: no unfinished run in ${join(runsDirectory, "none")}\n`,
    ]);
  });

  test("goes on with the kernel variants that the run began with", async () => {
    const program = await startRun("other-variant");
    program.child.kill("SIGTERM");
    await program.ended;
    const env = { GHOSTBATCH_VARIANT: "wide" };
    requireDone(await runProgram(["train", ...words, "--name", "wide"], { env }));
    expect(outcome(folderOf("wide"))).not.toBe(expected);
    requireDone(await runProgram(["train", "--resume", folderOf("other-variant")], { env }));
    expect(outcome(folderOf("other-variant"))).toBe(expected);
  });

  test("goes on with the tiles of kernels that the run began with", async () => {
    const choices = { "a kernel and its shape": { TILE: 8 } };
    const file = join(runsDirectory, "tuning.json");
    writeFileSync(file, JSON.stringify({ format: 1, adapter: "another", steps: [], choices }));
    const begun = startProgram([
      "train",
      ...words,
      "--name",
      "tuned",
      "--checkpoint-every",
      "40",
      "--tuning",
      file,
    ]);
    while (lastCheckpoints("tuned").length === 0 && begun.child.exitCode === null) await sleep(5);
    begun.child.kill("SIGTERM");
    const { stderr } = await begun.ended;
    expect(stderr).toMatch(/^warning: .*tuning.json was measured on another, but this adapter is /m);
    expect(stderr).toMatch(/continue with: ghostbatch train --resume .*--tuning \S+tuning.json/);
    const before = lastCheckpoints("tuned");
    const again = startProgram([
      "train",
      "--resume",
      folderOf("tuned"),
      "--checkpoint-every",
      "40",
      "--tuning",
      "off",
    ]);
    while (lastCheckpoints("tuned").every((name) => before.includes(name)) && again.child.exitCode === null)
      await sleep(5);
    again.child.kill("SIGTERM");
    await again.ended;
    const kept = lastCheckpoints("tuned").filter((name) => !before.includes(name));
    const content = readFileSync(
      join(folderOf("tuned"), "checkpoints", kept[0]!.replace(/safetensors$/, "json")),
      "utf8",
    );
    expect(JSON.parse(content).checkpoint.adapter.tuning).toEqual(choices);
    rmSync(folderOf("tuned"), { recursive: true });
  });

  test("of a run killed when it had its outcome removes what it had no time to remove", async () => {
    const program = await startRun("killed-late");
    while (!existsSync(join(folderOf("killed-late"), "summary.json"))) await sleep(1);
    program.child.kill("SIGKILL");
    await program.ended;
    // Wherever the kill has hit, as if it had come before anything was removed.
    const checkpoints = join(folderOf("killed-late"), "checkpoints");
    for (const name of ["last-40.json", "last-40.safetensors", "last-80.json.12-3.tmp"])
      writeFileSync(join(checkpoints, name), "left");
    writeFileSync(join(folderOf("killed-late"), "weights.safetensors.12-4.tmp"), "left");
    writeFileSync(join(folderOf("killed-late"), "lock-1.json"), '{"released":true}\n');
    const again = await runProgram(["train", "--resume", folderOf("killed-late")]);
    requireDone(again);
    expect(again.stderr).toContain("has already finished");
    expect(outcome(folderOf("killed-late"))).toBe(expected);
    const names = readdirSync(folderOf("killed-late"));
    expect(names.filter((name) => /^lock|tmp$/.test(name))).toEqual([]);
    expect(names.filter((name) => name.startsWith("events.out.tfevents."))).toHaveLength(1);
  });

  test("bare takes the newest unfinished run, with options that alter nothing, until none is left", async () => {
    const harmless = [
      "--log-every",
      "1000",
      "--checkpoint-every",
      "1h",
      "--batch-size",
      "50",
      "--config",
      config,
    ];
    const first = await runProgram(["train", "--resume", "--runs-dir", runsDirectory, ...harmless]);
    requireDone(first);
    expect(first.stderr).toContain(`resuming ${folderOf("newer")} after step`);
    expect(outcome(folderOf("newer"))).toBe(expected);
    const second = await runProgram(["train", "--resume", "--runs-dir", runsDirectory]);
    requireDone(second);
    expect(outcome(folderOf("older"))).toBe(expected);
    const again = await runProgram(["train", "--resume", "older", "--runs-dir", runsDirectory, "--json"]);
    expect(again.code).toBe(0);
    expect(again.stderr).toContain("has already finished");
    expect(JSON.parse(again.stdout)).toMatchObject({ folder: folderOf("older"), steps: 1200 });
  });

  test("tells of a damaged newest checkpoint and uses the one before; names all where none is left", async () => {
    const program = await startRun("damaged", 2);
    program.child.kill("SIGKILL");
    await program.ended;
    const folder = join(folderOf("damaged"), "checkpoints");
    const steps = lastCheckpoints("damaged").map((file) => Number(file.match(/\d+/)![0]));
    expect(steps).toHaveLength(2);
    // What the kill has left of a third one would be completed: another test's subject.
    const whole = steps.flatMap((step) => ["json", "safetensors"].map((part) => `last-${step}.${part}`));
    for (const file of readdirSync(folder)) if (!whole.includes(file)) rmSync(join(folder, file));
    const saved = new Map(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))]));
    for (const step of steps) rmSync(join(folder, `last-${step}.json`));
    const lost = await runProgram(["train", "--resume", folderOf("damaged")]);
    expect(lost.code).toBe(2);
    for (const step of steps) expect(lost.stderr).toContain(join(folder, `last-${step}.json: cannot read`));
    for (const file of saved.keys()) writeFileSync(join(folder, file), "no checkpoint");
    const none = await runProgram(["train", "--resume", folderOf("damaged")]);
    expect(none.code).toBe(2);
    for (const step of steps) expect(none.stderr).toContain(join(folder, `last-${step}.json`));
    for (const [file, bytes] of saved)
      if (!file.startsWith(`last-${Math.max(...steps)}`)) writeFileSync(join(folder, file), bytes);
    const again = await runProgram(["train", "--resume", folderOf("damaged")]);
    requireDone(again);
    expect(again.stderr).toMatch(
      new RegExp(
        `last-${Math.max(...steps)}\\.json: damaged: .*using the checkpoint before it, of step ${Math.min(...steps)}`,
      ),
    );
    expect(outcome(folderOf("damaged"))).toBe(expected);
  });
});

/** Its batch grows after 208 of 230 steps, and once more after 219. */
const GROWING = `
dataset: synthetic:1x7x7:4:410:40
baseRegime: f1-small
epochScale: 0.5
batchSize: 8
ghostSize: 4
batchGrowth: true
`;

test.each([
  [5, "killed", CONFIGURATION.replace("1200", "400"), 500],
  [3, "killed-growing", GROWING, 300],
])(
  "%i kills with -9 at random instants: %s",
  async (kills, name, configuration, within) => {
    const words = ["--checkpoint-every", "3"];
    const report = await killRuns({ runsDirectory, name, configuration, words, kills, seed: 3, within });
    console.log(
      `${report.survived} of ${report.kills} kills survived; ${report.insideWrites} left a half-written checkpoint`,
    );
    expect(report).toMatchObject({ kills, survived: kills, differences: [] });
  },
  limitMs(300_000),
);
