// `bench kernel --tune`: tries all values of a file's constants, refuses wrong ones, and prints the best.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { specCandidates, specLines } from "../../src/bench/user-kernel-tune.ts";
import { runProgram } from "../support/program.ts";

const folder = mkdtempSync(join(tmpdir(), "kernel-tune-"));
afterAll(() => rmSync(folder, { recursive: true }));

const CONSTANTS = "const TM: u32 = 4u;  // @spec 8, 4  channels\nconst B: i32 = 2; // @spec 1, 3\n";

test("candidates are all combinations, with the file's own values first", () => {
  const candidates = specCandidates("own.wgsl", `${CONSTANTS}const C: u32 = 1u; // @spec  rows\n`);
  expect(candidates.map(({ values }) => `${values["TM"]} ${values["B"]}`)).toEqual([
    ...["4 2", "4 1", "4 3", "8 2", "8 1", "8 3"],
  ]);
  expect(candidates[4]!.code).toBe(
    "const TM: u32 = 8u; //   channels\nconst B: i32 = 1; // \nconst C: u32 = 1u; // @spec  rows\n",
  );
  expect(specLines(CONSTANTS, { TM: 8, B: 3 })).toEqual([
    "const TM: u32 = 8u;  // @spec 8, 4",
    "const B: i32 = 3; // @spec 1, 3",
  ]);
  expect(() => specCandidates("own.wgsl", "const TM: u32 = 4u; // @spec  channels")).toThrow(
    /^own.wgsl: --tune needs a constant with values in its comment/,
  );
  const many = Array.from({ length: 7 }, (_, i) => `const A${i}: u32 = 1u; // @spec 1, 2\n`).join("");
  expect(() => specCandidates("own.wgsl", many)).toThrow(/make 128 combinations; at most 64 are tried/);
});

test("a value that gives wrong results is named, and the correct one is printed", {
  timeout: 300_000,
}, async () => {
  const file = join(folder, "own.wgsl");
  const example = readFileSync("examples/conv2d-direct.wgsl", "utf8");
  const scaled = example.replace("= sum;", "= sum * f32(SCALE);");
  writeFileSync(
    file,
    scaled.replace("override C: u32;", "const SCALE: u32 = 2u; // @spec 1, 2\noverride C: u32;"),
  );
  const words = ["--as", "conv2d/forward", "--tune", "--shapes", "1", "--n", "3", "--budget", "5", "--json"];
  const { code, stdout } = await runProgram(["bench", "kernel", file, ...words]);
  expect(code).toBe(0);
  const { candidates, best, lines } = JSON.parse(stdout);
  expect(best).toEqual({ SCALE: 1 });
  expect(lines).toEqual(["const SCALE: u32 = 1u; // @spec 1, 2"]);
  expect(candidates[0]).toMatchObject({ values: { SCALE: 2 }, ratio: null, report: { file, passed: false } });
  expect(candidates[0].report.problems[0].kind).toBe("wrong values");
  expect(candidates[1].ratio).toBeGreaterThan(0);
});
