import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { forEachConcurrent } from "../../src/support/concurrent.ts";

test("every index once, with exactly `limit` at a time", async () => {
  const seen: number[] = [];
  let underWay = 0;
  let most = 0;
  await forEachConcurrent(20, 3, async (index) => {
    most = Math.max(most, ++underWay);
    seen.push(index);
    await sleep(index % 3);
    underWay--;
  });
  expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i));
  expect(most).toBe(3);
});

test("after a failure nothing more starts, and the error is thrown when the others have ended", async () => {
  const started: number[] = [];
  let ended = 0;
  const run = forEachConcurrent(100, 4, async (index) => {
    started.push(index);
    await sleep(index === 2 ? 1 : 10);
    ended++;
    if (index === 2) throw new Error("the third");
  });
  await expect(run).rejects.toThrow("the third");
  expect(started).toEqual([0, 1, 2, 3]);
  expect(ended).toBe(4);
});
