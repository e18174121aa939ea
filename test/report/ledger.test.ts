// The cost for runs to reach an accuracy: with a growing batch, unfinished, damaged.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readLedger } from "../../src/report/ledger.ts";
import { makeRun } from "../support/made-run.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-ledger-"));
afterAll(() => rmSync(folder, { recursive: true }));

// 94.5 − 40 / step is at least 90 from step 8.9 on. The first evaluation after that is at step 10, after one epoch of 320
// samples at 1,000 images/s. The whole run costs 1 GFLOP.
const cost = { steps: 10, samples: 320, seconds: 0.32 };

test("steps, samples, FLOP and seconds to a target, or that it was not reached", async () => {
  const run = makeRun(folder, { name: "plain" });
  expect(await readLedger([run], 90)).toEqual({
    entries: [{ name: "plain", reached: { ...cost, flops: 5e7 }, final: 94.3 }],
    problems: [],
  });
  const { entries } = await readLedger([run], 99);
  expect(entries[0]!.reached).toBeNull();
});

test("with a growing batch, samples are counted by the size of each batch", async () => {
  // 100 steps of 32 samples are 10 epochs; 100 more steps are 100 epochs.
  const { entries } = await readLedger([makeRun(folder, { name: "grows", grownFrom: 100 })], 90);
  expect(entries[0]!.reached).toEqual({ ...cost, flops: expect.closeTo(1e9 / 110, 0) });
});

test("an unfinished run that reached the target counts; a damaged one is named and left out", async () => {
  const subset = { train: 310, test: 10, seed: 0 };
  const unfinished = makeRun(folder, { name: "unfinished", finished: false, configuration: { subset } });
  const damaged = makeRun(folder, { name: "damaged" });
  writeFileSync(join(damaged, "summary.json"), '{"accuracy":1}');
  const { entries, problems } = await readLedger([damaged, join(folder, "absent"), unfinished], 90);
  expect(entries).toEqual([
    { name: "unfinished", reached: { steps: 10, samples: 310, flops: null, seconds: 0.31 }, final: null },
  ]);
  expect(problems).toEqual([
    expect.stringMatching(/damaged\/summary\.json: damaged: .*samples is missing.*skipping/),
    expect.stringMatching(/absent.*skipping/),
    expect.stringMatching(/unfinished: not finished/),
  ]);
});
