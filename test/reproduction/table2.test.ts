// Table 2's row at small scale on generated images: AlexNet goes through streaming, training and evaluation, and its cells differ as
// their methods require. So few images teach it nothing, so the test requires no accuracy (docs/PAPER.md).

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { GpuSession } from "../../src/host/node/gpu-session.ts";
import { type Column, cellSpec } from "../../src/paper/columns.ts";
import { imagesFor } from "../../src/paper/images.ts";
import { TABLE2_ROWS } from "../../src/paper/table2.ts";
import type { RunSpec } from "../../src/run/run-spec.ts";
import { runOnce } from "../../src/run/runner.ts";
import { pngBytes, writeFiles } from "../support/image-files.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-table2-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Ten classes with a color each, and a different pattern in every image. */
function images(): string {
  const files = (part: string, count: number) =>
    Array.from({ length: count }, (_, i): [string, Uint8Array] => [
      `${part}/class${i % 10}/${i}.png`,
      pngBytes(64, 64, (x, y) => [25 * (i % 10), (x * (i + 3)) % 256, (y * (i + 7)) % 256]),
    ]);
  return writeFiles(join(folder, "images"), Object.fromEntries([...files("train", 80), ...files("val", 40)]));
}

test("AlexNet: the learning-rate rule scales the first step by √(B / B_S); ghosts change it; one ghost of the whole batch does not", async () => {
  const row = TABLE2_ROWS["alexnet-4096"]!;
  const dataDir = images();
  const { dataset } = imagesFor(row, { scale: "small", dataDir });
  const session = new GpuSession();
  // Without clipping, which would make every step as long as its rate.
  const run = async (column: Column, changes: Partial<RunSpec> = {}) => {
    const spec = cellSpec(row, { column, scale: "small", seed: 0, images: dataset });
    const one = { ...spec, maxSteps: 1, weightDecay: 0, clipNorm: 0, ...changes };
    const options = { runsDirectory: folder, command: "test", load: { dataDir } };
    const { summary } = await runOnce(session, one, column, options);
    expect(summary.samples).toBe(32);
    process.stdout.write(
      `table2: ${column} after a step ${summary.distanceAll.toPrecision(6)} from the start, ${summary.seconds.toFixed(0)} s\n`,
    );
    return summary.distanceAll;
  };
  const [large, rule, ghosts] = [await run("LB"), await run("LR"), await run("GBN")];
  expect(rule / large).toBeCloseTo(Math.sqrt(32 / 4), 3);
  expect(Math.abs(ghosts / rule - 1)).toBeGreaterThan(0.01);
  expect(await run("GBN", { ghostSize: 32 })).toBe(rule);
});
