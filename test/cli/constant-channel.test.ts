// A channel that is constant: images without blue, from a folder, through the command line.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { pngBytes, writeFiles } from "../support/image-files.ts";
import { runProgram } from "../support/program.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-constant-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a warning names it, and the run ends with finite numbers", async () => {
  const files = ["train", "test"].flatMap((part) =>
    ["dark", "light"].flatMap((name, bright) =>
      Array.from({ length: 16 }, (_, i) => {
        const paint = (x: number, y: number) => [10 + 80 * bright + i, 5 * x + y, 0] as const;
        return [`images/${part}/${name}/${i}.png`, pngBytes(8, 8, paint)] as const;
      }),
    ),
  );
  writeFiles(folder, Object.fromEntries(files));
  const network = "--model f1 --width 8 --hidden 1 --batch-size 8 --epochs 1".split(" ");
  const data = `folder:${join(folder, "images")},normalization=per-channel`;
  const place = ["--runs-dir", folder, "--name", "run"];
  const { code, stderr, stdout } = await runProgram(["train", "--dataset", data, ...network, ...place]);
  expect({ code, stderr, stdout }).toMatchObject({ code: 0 });
  expect(stderr).toMatch(
    /^warning: .*: channel 2 \(counted from 0\) has the same value in all training images; it is normalized to 0$/m,
  );
  expect(stderr).not.toMatch(/channel [01] \(|NaN/);
  const rows = readFileSync(join(folder, "run", "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n");
  const losses = rows.map((row) => JSON.parse(row)).map(({ loss, testLoss }) => loss ?? testLoss);
  expect(losses).toHaveLength(5); // four steps and an evaluation
  expect(losses.every(Number.isFinite)).toBe(true);
});
