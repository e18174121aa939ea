// The command that a stopped run prints works in another folder: it finds the run's data and keeps its options.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pngBytes, writeFiles } from "../support/image-files.ts";
import { firstStep, requireDone } from "../support/kills.ts";
import { runProgram, startProgram } from "../support/program.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-resume-command-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const place = join(runsDirectory, "place");
const image = (seed: number) => pngBytes(16, 16, (x, y) => [(x * seed) % 256, (y * 9) % 256, seed]);

beforeAll(() => {
  const names = Array.from({ length: 80 }, (_, i) => `${i < 60 ? "train" : "val"}/${i % 2}/${i}.png`);
  writeFiles(place, Object.fromEntries(names.map((name, i) => [`images/${name}`, image(i)])));
});

test.each([
  ["--data-dir", "--dataset imagenet,resize=16,crop=16 --data-dir images --max-steps 40"],
  ["path in --dataset", "--dataset folder:images --max-steps 1500"],
])("continues from another folder with a relative %s, and with the checkpoint options", async (_, data) => {
  const name = `placed-${data.length}`;
  const network = "--width 16 --hidden 2 --batch-size 20 --epochs 100000 --evaluate-every 10000";
  const kept = "--checkpoint-every 10 --keep-checkpoints 3 --log-every 32";
  const program = startProgram(
    ["train", ...`${data} ${network} ${kept}`.split(" "), "--runs-dir", runsDirectory, "--name", name],
    { cwd: place },
  );
  await firstStep(program, join(runsDirectory, name));
  program.child.kill("SIGTERM");
  const { stderr } = await program.ended;
  const printed = stderr.match(/continue with: ghostbatch (.*)$/m)?.[1];
  expect(printed, stderr).toBe(`train --resume ${join(runsDirectory, name)} ${kept}`);
  const again = await runProgram(printed!.split(" "), { cwd: runsDirectory });
  requireDone(again);
  expect(again.stderr).toMatch(/^resuming .* after step \d+$/m);
});
