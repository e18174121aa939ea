// Settings of the playground: their form in the address, and the command that trains the same run.
import { Command } from "commander";
import { expect, test } from "vitest";
import { optionsOfFlags, runOptionFlags } from "../../src/cli/run-option-flags.ts";
import { COLUMNS, cellSpec } from "../../src/paper/columns.ts";
import { equalCommand } from "../../src/run/equal-command.ts";
import { completeSpec, type RunSpec } from "../../src/run/run-spec.ts";
import { DEFAULTS, F1, hashOf, raceSpec, type Settings, settingsOf } from "../../src/web/settings.ts";

const OTHERS: Settings = {
  tab: "bench",
  axis: "samples",
  methods: ["SB", "RA"],
  batch: 512,
  ghost: 64,
  rule: "linear",
  regime: "iteration-matched",
  seed: 7,
  width: 64,
  steps: 20,
};

/** The specification that the command line reads from a command. */
function readCommand(command: string): RunSpec {
  const train = new Command("train").exitOverride();
  for (const option of runOptionFlags()) train.addOption(option);
  train.parse(command.split(" ").slice(2), { from: "user" });
  return completeSpec(optionsOfFlags(train.opts()));
}

test("by default each method is its cell of Table 1 at small scale", () => {
  for (const column of COLUMNS)
    expect(raceSpec(DEFAULTS, column)).toEqual(cellSpec(F1, { column, scale: "small", seed: 0 }));
});

test.each([DEFAULTS, OTHERS])("the command trains the run of the page", (settings) => {
  for (const column of COLUMNS) {
    const spec = raceSpec(settings, column);
    expect(readCommand(equalCommand(spec))).toEqual(spec);
  }
});

test("an address holds valid settings and nothing else", () => {
  expect(hashOf(DEFAULTS)).toBe("");
  expect(settingsOf(`#${hashOf(OTHERS)}`)).toEqual(OTHERS);
  expect(settingsOf("")).toEqual(DEFAULTS);
  expect(settingsOf("#batch=-1&ghost=12&rule=__proto__&methods=XX&seed=1e9&width=1;drop&tab=none")).toEqual(
    DEFAULTS,
  );
  expect(settingsOf("#batch=128&ghost=1024")).toMatchObject({ batch: 128, ghost: 128 });
});
