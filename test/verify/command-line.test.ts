// The verb `verify` as a user calls it: its lines, its JSON and its exit codes.

import { join } from "node:path";
import { expect, test } from "vitest";
import { runProgram } from "../support/program.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { golden, write } from "./reference-files.ts";

test("one line per case, totals at the end, exit code 1 for a failure", async () => {
  const { tensors, cases } = await golden("ops.safetensors");
  const relu = cases.find(({ op }) => op === "relu")!;
  const add = cases.find(({ op }) => op === "add")!;
  const output = tensors.get(`${add.prefix}output`)!;
  tensors.set(`${add.prefix}output`, { ...output, data: (output.data as Float32Array).with(0, 1e6) });
  const path = await write("mixed.safetensors", {
    tensors,
    cases: [relu, add, { ...relu, op: "fourier" }],
  });

  const text = await runProgram(["verify", path]);
  expect(text.code).toBe(1);
  expect(text.stdout.trimEnd().split("\n")).toEqual([
    expect.stringMatching(/^adapter: /),
    path,
    expect.stringMatching(/^ {2}passed {2}relu \[101\]: 2 tensors, worst \w+ \S+ \(tolerance 2\.0e-6\)$/),
    expect.stringMatching(/^ {2}FAILED {2}add \[3, 5, 7\]: 1 of 3 tensors differ, worst output 1\.0e\+0 /),
    "  SKIPPED fourier [101]: no operation fourier",
    "NOT CHECKED, unknown to this engine: fourier (1)",
    "FAILED: add (1)",
    "1 passed, 1 failed, 1 skipped",
  ]);

  const json = await runProgram(["verify", "--json", path]);
  expect(json.code).toBe(1);
  expect(JSON.parse(json.stdout)).toMatchObject({
    passed: 1,
    failed: 1,
    skipped: 1,
    files: [
      {
        path,
        cases: [
          { name: "relu", status: "passed" },
          { name: "add", status: "failed", tensors: [{ tensor: "output", passed: false }, {}, {}] },
          { name: "fourier", status: "skipped" },
        ],
      },
    ],
  });
});

test("a file that is missing ends with exit code 2 and one line", async () => {
  const { code, stderr } = await runProgram(["verify", join(temporaryFolder(), "nowhere.safetensors")]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/^error: .*nowhere\.safetensors: cannot read: no such file or folder.*\n$/);
});
