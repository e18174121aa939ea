// A network from a user's file: dry run, training, interruption and resume, sweep, report; and faults in the file.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ghostbatch } from "../support/command-line.ts";
import { firstStep, outcome, requireDone } from "../support/kills.ts";
import { runProgram, startProgram } from "../support/program.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-own-model-"));
afterAll(() => rmSync(folder, { recursive: true }));

const model = join(folder, "net.ts");
const runs = ["--runs-dir", join(folder, "runs")];
const options = [
  "--dataset",
  "synthetic:1x16x16:4:256:64",
  "--batch-size",
  "64",
  "--ghost-size",
  "16",
  "--lr-rule",
  "sqrt",
];
const train = ["train", "--model", model, ...options, ...runs];

beforeAll(() => {
  cpSync(fileURLToPath(new URL("../../examples/own-model.ts", import.meta.url)), model);
});

test("a dry run counts its parameters and uses its regime; a verb without data uses its image size", async () => {
  const { code, stdout } = await ghostbatch([...train, "--dry-run", "--json", "--assume-limits", "h100"]);
  expect(code).toBe(0);
  // 5·5·8 of the convolution, 2·8 of the norm, (8·4·4 + 1)·4 of the classifier.
  expect(JSON.parse(stdout)).toMatchObject({
    model: "net",
    parameters: 200 + 16 + 516,
    steps: 16,
    epochs: 4,
  });
  expect(JSON.parse(stdout).learningRates.join("\n")).toMatch(/regime own[\s\S]*0\.05[\s\S]*0\.005/);
  const step = await ghostbatch([
    "bench",
    "step",
    "--model",
    model,
    "--batch-size",
    "32",
    "--n",
    "3",
    "--json",
  ]);
  expect(JSON.parse(step.stdout)).toMatchObject({ batch: 32, parameters: 200 + 16 + (8 * 7 * 7 + 1) * 10 });
});

test("interrupted and resumed, it ends with the bits of the undisturbed run; sweep and report accept it", async () => {
  const length = ["--epochs", "300", "--evaluate-every", "100"];
  requireDone(await runProgram([...train, ...length, "--name", "whole"]));
  const program = startProgram([...train, ...length, "--name", "parted"]);
  await firstStep(program, join(folder, "runs", "parted"));
  program.child.kill("SIGTERM");
  expect((await program.ended).code).toBe(143);
  requireDone(await runProgram(["train", "--resume", "parted", ...runs]));
  expect(outcome(join(folder, "runs", "parted"))).toBe(outcome(join(folder, "runs", "whole")));

  const grid = join(folder, "grid.yaml");
  writeFileSync(
    grid,
    `name: own\nbase: {dataset: "synthetic:1x16x16:4:256:64", maxSteps: 4}\ngrid: {model: ["${model}"], seed: [1, 2]}\n`,
  );
  requireDone(await runProgram(["sweep", grid, ...runs]));
  const names = ["own-model_net-seed_1", "own-model_net-seed_2"];
  expect(readdirSync(join(folder, "runs"))).toEqual(expect.arrayContaining(names));
  const out = join(folder, "report");
  const report = await ghostbatch([
    "report",
    ...names.map((name) => join(folder, "runs", name)),
    "--out",
    out,
  ]);
  expect(report.code).toBe(0);
  expect(readFileSync(join(out, "report.md"), "utf8")).toMatch(/choices: .*model: net; .*baseRegime: own/);
});

test("a run is not repeated with a file that has changed", async () => {
  requireDone(await runProgram([...train, "--max-steps", "2", "--name", "changed"]));
  const config = join(folder, "runs", "changed", "config.yaml");
  const before = readFileSync(model, "utf8");
  writeFileSync(model, before.replaceAll("(8)", "(9)").replaceAll("8", "9"));
  const { code, stderr } = await ghostbatch(["train", "--config", config, "--name", "again", ...runs]);
  writeFileSync(model, before);
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /net\.ts: the file, or one that it imports, has changed since the run began \([0-9a-f]{12}, now [0-9a-f]{12}\)/,
  );
});

const REGIME =
  "export const regime = { batchSize: 8, epochs: 1, entries: [{ epoch: 0, learningRate: 1 }] };\n";

test.each([
  ["", /net-wrong\.ts: expected a default export that makes a network, .*, found none/],
  [
    `${REGIME}export default () => 3;`,
    /expected the default export to make a Module of ghostbatch, found number/,
  ],
  [`${REGIME}export default () => { throw new Error('no idea'); }`, /net-wrong\.ts: no idea/],
  ["const a = ;\nexport default a;", /net-wrong\.ts:1:11: Unexpected ";"/],
  [
    'import "ghostbatch/node";\nexport default 1;',
    /net-wrong\.ts:1:8: a model may import "ghostbatch" alone/,
  ],
  [
    'import { Nothing } from "ghostbatch";\nexport default () => new Nothing();',
    /No matching export .* for import "Nothing"/,
  ],
  [
    "export const regime = { batchSize: 0, epochs: 1, entries: [] };\nexport default () => 1;",
    /regime\.batchSize: /,
  ],
  [
    'import { Linear } from "ghostbatch";\nexport default () => new Linear(1, 1);',
    /exports no regime; name one with --base-regime/,
  ],
])("%j is an error on one line", async (text, message) => {
  const wrong = join(folder, "net-wrong.ts");
  writeFileSync(wrong, text);
  const { code, stderr } = await ghostbatch([
    "train",
    "--model",
    wrong,
    "--dataset",
    "synthetic",
    "--dry-run",
    "--assume-limits",
    "h100",
  ]);
  expect(stderr).toMatch(message);
  expect(stderr.trim().split("\n")).toHaveLength(1);
  expect(code).toBe(2);
});

test("a missing file, and an option that only the paper's networks have", async () => {
  expect((await ghostbatch(["train", "--model", "nothing.ts"])).stderr).toMatch(
    /--model nothing\.ts: no such file/,
  );
  expect(
    (await ghostbatch([...train, "--width", "3", "--dry-run", "--assume-limits", "h100"])).stderr,
  ).toMatch(/unknown option width; its options are none/);
});
