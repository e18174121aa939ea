// What `train --resume` accepts, keeps and refuses.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { ghostbatch } from "../support/command-line.ts";
import { InterruptedRuns } from "../support/interrupted-runs.ts";
import { outcome, requireDone } from "../support/kills.ts";
import { startProgram } from "../support/program.ts";

const runs = new InterruptedRuns();
const { config } = runs;
afterEach(() => vi.unstubAllEnvs());

describe("--resume", () => {
  beforeAll(async () => {
    for (const name of ["older", "newer"]) {
      const program = await runs.start(name);
      program.child.kill("SIGTERM");
      await program.ended;
    }
  });

  test("refuses, by name, an option that would change the result", async () => {
    const { code, stderr } = await ghostbatch([
      "train",
      "--resume",
      runs.folderOf("newer"),
      "--batch-size",
      "100",
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^error: --batch-size 100: this run was started with 50; a different value would change its result\..*\n$/,
    );
  });

  test("says what is wrong with its argument", async () => {
    const missing = await ghostbatch(["train", "--resume", join(runs.directory, "nothing")]);
    expect([missing.code, missing.stderr]).toEqual([
      2,
      `error: --resume ${join(runs.directory, "nothing")}: no such folder\n`,
    ]);
    const nothing = join(runs.directory, "no-run");
    mkdirSync(nothing);
    const unknown = await ghostbatch(["train", "--resume", "nobody", "--runs-dir", runs.directory]);
    expect(unknown.stderr).toBe(
      `error: --resume nobody: no such folder, and no run of that name in ${runs.directory}\n`,
    );
    const without = await ghostbatch(["train", "--resume", nothing, "--log-every", "1024"]);
    expect([without.code, without.stderr]).toEqual([
      2,
      `error: --resume ${nothing}: not a run folder: config.yaml is missing\n`,
    ]);
    const seldom = await ghostbatch(["train", "--resume", nothing, "--log-every", "1025"]);
    expect(seldom.code).toBe(2);
    expect(seldom.stderr).toMatch(/--log-every.*Expected a whole number from 1 to 1024/);
    const empty = await ghostbatch(["train", "--resume", "--runs-dir", join(runs.directory, "none")]);
    expect([empty.code, empty.stderr]).toEqual([
      2,
      `error: --resume: no unfinished run in ${join(runs.directory, "none")}\n`,
    ]);
  });

  test("keeps the kernel variants that the run started with", async () => {
    const program = await runs.start("other-variant");
    program.child.kill("SIGTERM");
    await program.ended;
    vi.stubEnv("GHOSTBATCH_VARIANT", "wide");
    requireDone(await ghostbatch(["train", ...runs.words, "--name", "wide"]));
    expect(outcome(runs.folderOf("wide"))).not.toBe(runs.expected);
    requireDone(await ghostbatch(["train", "--resume", runs.folderOf("other-variant")]));
    expect(outcome(runs.folderOf("other-variant"))).toBe(runs.expected);
  });

  test("keeps the tiles that the run started with", async () => {
    const choices = { "a kernel and its shape": { TILE: 8 } };
    const file = join(runs.directory, "tuning.json");
    writeFileSync(file, JSON.stringify({ format: 1, adapter: "another", steps: [], choices }));
    const begun = await runs.start("tuned", 1, ["--tuning", file]);
    begun.child.kill("SIGTERM");
    const { stderr } = await begun.ended;
    expect(stderr).toMatch(/^warning: .*tuning.json was measured on another, but this adapter is /m);
    expect(stderr).toMatch(/continue with: ghostbatch train --resume .*--tuning \S+tuning.json/);
    const before = runs.lastCheckpoints("tuned");
    const again = startProgram([
      "train",
      "--resume",
      runs.folderOf("tuned"),
      "--checkpoint-every",
      "40",
      "--tuning",
      "off",
    ]);
    while (
      runs.lastCheckpoints("tuned").every((name) => before.includes(name)) &&
      again.child.exitCode === null
    )
      await sleep(5);
    again.child.kill("SIGTERM");
    await again.ended;
    const kept = runs.lastCheckpoints("tuned").filter((name) => !before.includes(name));
    const content = readFileSync(
      join(runs.folderOf("tuned"), "checkpoints", kept[0]!.replace(/safetensors$/, "json")),
      "utf8",
    );
    expect(JSON.parse(content).checkpoint.adapter.tuning).toEqual(choices);
    rmSync(runs.folderOf("tuned"), { recursive: true });
  });

  test("of a run that was killed after its summary removes the leftovers", async () => {
    const program = await runs.start("killed-late");
    while (!existsSync(join(runs.folderOf("killed-late"), "summary.json"))) await sleep(1);
    program.child.kill("SIGKILL");
    await program.ended;
    // Wherever the kill hit, make it look as if nothing had been removed yet.
    const checkpoints = join(runs.folderOf("killed-late"), "checkpoints");
    for (const name of ["last-40.json", "last-40.safetensors", "last-80.json.12-3.tmp"])
      writeFileSync(join(checkpoints, name), "left");
    writeFileSync(join(runs.folderOf("killed-late"), "weights.safetensors.12-4.tmp"), "left");
    writeFileSync(join(runs.folderOf("killed-late"), "lock-1.json"), '{"released":true}\n');
    const again = await ghostbatch(["train", "--resume", runs.folderOf("killed-late")]);
    requireDone(again);
    expect(again.stderr).toContain("has already finished");
    expect(outcome(runs.folderOf("killed-late"))).toBe(runs.expected);
    const names = readdirSync(runs.folderOf("killed-late"));
    expect(names.filter((name) => /^lock|tmp$/.test(name))).toEqual([]);
    expect(names.filter((name) => name.startsWith("events.out.tfevents."))).toHaveLength(1);
  });

  test("alone takes the newest unfinished run, with options that do not change the result, until none is left", async () => {
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
    const first = await ghostbatch(["train", "--resume", "--runs-dir", runs.directory, ...harmless]);
    requireDone(first);
    expect(first.stderr).toContain(`resuming ${runs.folderOf("newer")} after step`);
    expect(outcome(runs.folderOf("newer"))).toBe(runs.expected);
    const second = await ghostbatch(["train", "--resume", "--runs-dir", runs.directory]);
    requireDone(second);
    expect(outcome(runs.folderOf("older"))).toBe(runs.expected);
    const again = await ghostbatch(["train", "--resume", "older", "--runs-dir", runs.directory, "--json"]);
    expect(again.code).toBe(0);
    expect(again.stderr).toContain("has already finished");
    expect(JSON.parse(again.stdout)).toMatchObject({ folder: runs.folderOf("older"), steps: 1200 });
  });

  test("warns of a damaged newest checkpoint and uses the one before; if none is left, names them all", async () => {
    const program = await runs.start("damaged", 2);
    program.child.kill("SIGKILL");
    await program.ended;
    const folder = join(runs.folderOf("damaged"), "checkpoints");
    const steps = runs.lastCheckpoints("damaged").map((file) => Number(file.match(/\d+/)![0]));
    expect(steps).toHaveLength(2);
    // A third one, half written at the kill, would be completed; another test covers that.
    const whole = steps.flatMap((step) => ["json", "safetensors"].map((part) => `last-${step}.${part}`));
    for (const file of readdirSync(folder)) if (!whole.includes(file)) rmSync(join(folder, file));
    const saved = new Map(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))]));
    for (const step of steps) rmSync(join(folder, `last-${step}.json`));
    const lost = await ghostbatch(["train", "--resume", runs.folderOf("damaged")]);
    expect(lost.code).toBe(2);
    for (const step of steps) expect(lost.stderr).toContain(join(folder, `last-${step}.json: cannot read`));
    for (const file of saved.keys()) writeFileSync(join(folder, file), "no checkpoint");
    const none = await ghostbatch(["train", "--resume", runs.folderOf("damaged")]);
    expect(none.code).toBe(2);
    for (const step of steps) expect(none.stderr).toContain(join(folder, `last-${step}.json`));
    for (const [file, bytes] of saved)
      if (!file.startsWith(`last-${Math.max(...steps)}`)) writeFileSync(join(folder, file), bytes);
    const again = await ghostbatch(["train", "--resume", runs.folderOf("damaged")]);
    requireDone(again);
    expect(again.stderr).toMatch(
      new RegExp(
        `last-${Math.max(...steps)}\\.json: damaged: .*using the checkpoint before it, of step ${Math.min(...steps)}`,
      ),
    );
    expect(outcome(runs.folderOf("damaged"))).toBe(runs.expected);
  });
});
