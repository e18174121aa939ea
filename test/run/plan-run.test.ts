// Plans of runs from a specification and the size of its data, and what a user learns before the run.

import { describe, expect, test } from "vitest";
import { type DataFacts, planRun } from "../../src/run/plan-run.ts";
import { completeSpec, type RunSpecInput } from "../../src/run/run-spec.ts";
import { retainedStatistics } from "../../src/run/run-warnings.ts";
import type { PartialPolicy } from "../../src/train/ghosts.ts";

/** `synthetic:1x4x4:2:1000:10`. */
const FACTS: DataFacts = { name: "synthetic", classes: 2, channels: 1, height: 4, width: 4, count: 1000 };

function planned(given: RunSpecInput, facts: Partial<DataFacts> = {}) {
  return planRun(completeSpec({ model: "f1", width: 8, ...given }), { ...FACTS, ...facts });
}

describe("iteration-matched uses the small batch's steps", () => {
  // 1000 samples are 7 batches of 128 and a remainder.
  test.each([
    ["drop", [70, 140, 210, 350]],
    ["exact", [80, 160, 240, 400]],
    ["wrap", [80, 160, 240, 400]],
    ["authors", [80, 160, 240, 400]],
  ] as const)("--partial %s", (partial: PartialPolicy, expected) => {
    const large = { batchSize: 256, referenceBatchSize: 128, regime: "iteration-matched", partial } as const;
    const [matched, small] = [planned(large), planned({ batchSize: 128, partial })].map(({ regime }) => [
      ...regime.phases.slice(1).map(({ step }) => step),
      regime.totalSteps,
    ]);
    expect(matched).toEqual(small);
    expect(matched).toEqual(expected);
  });
});

test("more ghosts than fit on one side of a grid are refused, with the option", () => {
  const facts = { height: 1, width: 1, count: 200_000 };
  expect(() => planned({ batchSize: 131_072, ghostSize: 2 }, facts)).toThrow(
    "--ghost-size 2: gives 65,536 ghost batches per batch, but a GPU allows at most 65,535",
  );
  expect(() => planned({ batchSize: 131_070, ghostSize: 2 }, facts)).not.toThrow();
});

describe("the share of the initial running statistics that is left", () => {
  // 8 steps of 4 ghosts.
  const steps = { batchSize: 128, ghostSize: 32, maxSteps: 8, partial: "drop" } as const;
  test.each([
    ["plain batch norm", { ...steps, ghostSize: 128 }, 0.9 ** 8],
    ["an update for each ghost", { ...steps, runningRule: "sequential" }, 0.9 ** 32],
    ["the mean of the ghosts, with the weight of all", { ...steps, runningRule: "mean" }, 0.9 ** 32],
    ["composer", { ...steps, runningRule: "composer" }, 0.975 ** 32],
    ["another running momentum", { ...steps, ghostSize: 128, runningMomentum: 0.5 }, 0.5 ** 8],
  ] as const)("%s", (_, given, expected) => {
    expect(retainedStatistics(planned(given)) / expected).toBeCloseTo(1, 6);
  });

  test("a last batch of fewer ghosts makes fewer updates", () => {
    const retained = retainedStatistics(
      planned({ batchSize: 128, ghostSize: 32, epochs: 1 }, { count: 990 }),
    );
    expect(retained / 0.9 ** 31).toBeCloseTo(1, 6);
  });
});
