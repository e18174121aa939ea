// Table 1's ResNet44 row at small scale on photographs (docs/PAPER.md): batch size, learning rate and ghosts affect a convolutional
// network as the paper says. GHOSTBATCH_IMAGES is a folder with train/CLASS and test/CLASS of 32×32 images in ten classes, like
// CIFAR-10's; without it the test is skipped. Prints what it measures.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { GpuSession } from "../../src/host/node/gpu-session.ts";
import { type Column, cellSpec } from "../../src/paper/columns.ts";
import { ROWS } from "../../src/paper/table1.ts";
import { runOnce } from "../../src/run/runner.ts";

const source = process.env.GHOSTBATCH_IMAGES;
const folder = mkdtempSync(join(tmpdir(), "ghostbatch-images-"));
afterAll(() => rmSync(folder, { recursive: true }));

// Enough for the small scale's subset of 1,024 and 500 images, and quickly decoded.
const OF_EACH_CLASS = { train: 150, test: 60 };

/** The first images of each class, as links. */
function firstImages(from: string): string {
  for (const [part, count] of Object.entries(OF_EACH_CLASS)) {
    for (const name of readdirSync(join(from, part))) {
      const target = join(folder, "images", part, name);
      mkdirSync(target, { recursive: true });
      for (const file of readdirSync(join(from, part, name))
        .sort()
        .slice(0, count))
        symlinkSync(resolve(from, part, name, file), join(target, file));
    }
  }
  return join(folder, "images");
}

test.skipIf(source === undefined)(
  source === undefined
    ? "the ResNet44 row: GHOSTBATCH_IMAGES, a folder of CIFAR-10's images, is not set"
    : "the ResNet44 row: a large batch costs accuracy, the learning rate and ghosts recover some of it",
  async () => {
    const images = `folder:${firstImages(source!)}`;
    const session = new GpuSession();
    const accuracy = async (column: Column): Promise<number> => {
      const spec = cellSpec(ROWS.resnet44!, { column, scale: "small", seed: 0, images });
      const { summary } = await runOnce(session, spec, column, { runsDirectory: folder, command: "test" });
      process.stdout.write(
        `table1-images: ${column} ${summary.accuracy.toFixed(1)} %, ${summary.seconds.toFixed(0)} s\n`,
      );
      return summary.accuracy;
    };
    const [small, large] = [await accuracy("SB"), await accuracy("LB")];
    // 500 test images, the same in every cell. If they were independent, a difference of two cells would have a standard error of 2.8.
    expect(small - large).toBeGreaterThanOrEqual(4);
    expect((await accuracy("LR")) - large).toBeGreaterThanOrEqual(1);
    expect((await accuracy("GBN")) - large).toBeGreaterThanOrEqual(1);
  },
);
