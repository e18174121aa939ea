// Training processes are killed with -9 at random moments. The resumed runs end with the bits of an undisturbed run.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { CONFIGURATION } from "../support/interrupted-runs.ts";
import { killRuns } from "../support/kills.ts";
import { limitMs } from "../support/limits.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-killed-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

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
  "%i kills with -9 at random moments: %s",
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
