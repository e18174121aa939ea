// The criteria of the small scale (docs/PAPER.md) must refuse methods that are wired wrongly: each is run here with its
// fault, and its criterion, met by the right one, must not be met. Statistics shared across ghosts: measurements.test.ts.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { GpuSession } from "../../src/host/node/gpu-session.ts";
import { type Column, cellSpec } from "../../src/paper/columns.ts";
import { ROWS } from "../../src/paper/table1.ts";
import { completeSpec, type RunSpecInput } from "../../src/run/run-spec.ts";
import { runOnce } from "../../src/run/runner.ts";
import { mean } from "../../src/support/statistics.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-miswired-"));
const session = new GpuSession();
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const SEEDS = [0, 1, 2];

/** Mean final accuracy over the seeds, with some of the cell's options otherwise. */
async function accuracy(column: Column, fault: RunSpecInput = {}): Promise<number> {
  const results: number[] = [];
  for (const seed of SEEDS) {
    const spec = completeSpec({ ...cellSpec(ROWS.f1!, { column, scale: "small", seed }), ...fault });
    const { summary } = await runOnce(session, spec, `miswired-${column}`, {
      runsDirectory,
      command: "test",
    });
    results.push(summary.accuracy);
  }
  process.stdout.write(`miswired: ${column} ${JSON.stringify(fault)} ${mean(results).toFixed(2)} %\n`);
  return mean(results);
}

const meetsRateRule = (rate: number, large: number) => rate - large >= 0.5;
const meetsGhosts = (ghosts: number, large: number) => ghosts - large >= 1;
const meetsAdaptation = (adapted: number, small: number) => adapted >= small - 0.2;

test("wrong rate rule, no ghosts, regime not stretched", async () => {
  const large = await accuracy("LB");
  const ghosts = await accuracy("GBN");
  expect(meetsRateRule(await accuracy("LR"), large)).toBe(true);
  expect(meetsGhosts(ghosts, large)).toBe(true);

  // The rule left out, and the rule turned over: √(B_S / B) by a reference batch in place of the batch.
  expect(meetsRateRule(await accuracy("LR", { learningRateRule: "none" }), large)).toBe(false);
  expect(
    meetsRateRule(await accuracy("LR", { learningRateRule: "sqrt", referenceBatchSize: 32 * 1024 }), large),
  ).toBe(false);
  // Batch norm over the whole batch under the name of ghosts.
  expect(meetsGhosts(await accuracy("GBN", { ghostSize: null }), large)).toBe(false);
  // Adaptation that stretches nothing is the +GBN run; the right one is in table1-f1.test.ts, where it takes minutes.
  expect(meetsAdaptation(ghosts, await accuracy("SB"))).toBe(false);
});
