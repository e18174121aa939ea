// The criteria of the small scale (docs/PAPER.md) must reject methods that are wired wrongly: the correct method meets its
// criterion, and the faulty one must not. Statistics shared across ghosts: measurements.test.ts.

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

/** Mean final accuracy over the seeds, with the cell's options changed by `fault`. */
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

  // Without the rule, and with the inverse of it, √(B_S / B), by a reference batch of 32 · 1024.
  expect(meetsRateRule(await accuracy("LR", { learningRateRule: "none" }), large)).toBe(false);
  expect(
    meetsRateRule(await accuracy("LR", { learningRateRule: "sqrt", referenceBatchSize: 32 * 1024 }), large),
  ).toBe(false);
  // Batch norm over the whole batch instead of ghosts.
  expect(meetsGhosts(await accuracy("GBN", { ghostSize: null }), large)).toBe(false);
  // Without stretching, +RA is the +GBN run. The correct one takes minutes, so it is only in table1-f1.test.ts.
  expect(meetsAdaptation(ghosts, await accuracy("SB"))).toBe(false);
});
