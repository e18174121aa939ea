import { expect, test, vi } from "vitest";
import { barLine, ProgressLine } from "../../src/cli/progress.ts";

const AT = {
  step: 24,
  totalSteps: 48,
  imagesPerSecond: 12_345,
  secondsLeft: 61,
  loss: 1.23456,
  ...{ testAccuracy: 93.724, waitMs: 1500 },
};

test("on a terminal: a bar, and those numbers that fit beside it uncut", () => {
  for (let columns = 30; columns <= 200; columns++) {
    const line = barLine("+GBN seed 0", 0.5, AT, columns);
    expect(line.length).toBeLessThan(columns);
    const [, bar] = /^.* (█+░+) 24\/48/.exec(line)!;
    expect(bar.length).toBeGreaterThanOrEqual(10);
    expect(Math.abs(bar.replaceAll("░", "").length / bar.length - 0.5)).toBeLessThanOrEqual(0.05);
    // No number is cut off.
    const rest = line.slice(line.indexOf("24/48"));
    expect(rest).toMatch(
      /^24\/48( {2}12\.3 k images\/s)?( {2}ETA 1 min 01 s)?( {2}loss 1\.2346)?( {2}test accuracy 93\.72 %)?( {2}waited for images 1\.50 s)?$/,
    );
  }
  expect(barLine("+GBN seed 0", 0.5, AT, 150)).toMatch(
    /^\+GBN seed 0 █{15}░{15} .*waited for images 1\.50 s$/,
  );
});

test("elsewhere: one line for the last step, with its evaluation", () => {
  const lines: string[] = [];
  const write = vi.spyOn(process.stderr, "write").mockImplementation((text) => lines.push(String(text)) > 0);
  const terminal = process.stderr.isTTY;
  process.stderr.isTTY = false;
  try {
    const line = new ProgressLine("run");
    line.show({ ...AT, testAccuracy: null });
    line.show({ ...AT, step: 48, testAccuracy: 91 });
    line.show({ ...AT, step: 48, testAccuracy: 93 });
    line.end();
  } finally {
    write.mockRestore();
    process.stderr.isTTY = terminal;
  }
  expect(lines).toEqual([
    expect.stringMatching(/^run step 24\/48 .*loss 1\.2346 {2}waited/),
    expect.stringMatching(/^run step 48\/48 .*test accuracy 93\.00 %/),
  ]);
});
