import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/support/errors.ts";
import { boundedInteger, pcg4d, STREAMS } from "../../src/support/random.ts";
import {
  type GhostLayout,
  PARTIAL_POLICIES,
  type PartitionOptions,
  type PlannedLayout,
  partitionBatch,
  planEpoch,
  slabs,
  stepsPerEpoch,
} from "../../src/train/ghosts.ts";

/** "31×27+11": number and size of the ghosts, and the size of the last one if it differs. */
function shape({ ghostSize, ghosts, last }: GhostLayout): string {
  return last === ghostSize ? `${ghosts}×${ghostSize}` : `${ghosts - 1}×${ghostSize}+${last}`;
}

function sumOfWeights({
  ghostSize,
  ghosts,
  last,
  weightPerSample,
  weightPerSampleLast,
}: GhostLayout): number {
  return (ghosts - 1) * ghostSize * weightPerSample + last * weightPerSampleLast;
}

const partition = (
  samples: number,
  batchSize: number,
  ghostSize: number,
  options: Partial<PartitionOptions> = {},
) => partitionBatch({ samples, batchSize, ghostSize, policy: "authors", ...options });

describe("the authors' policy", () => {
  test("cuts the partial last batches of the paper's data sets like the released code", () => {
    expect(shape(partition(848, 4096, 128))).toBe("31×27+11"); // CIFAR
    expect(shape(partition(848, 2048, 128))).toBe("16×53"); // CIFAR
    expect(shape(partition(2656, 4096, 128))).toBe("32×83"); // MNIST
    expect(shape(partition(3215, 4096, 128))).toBe("31×101+84"); // ImageNet
    expect(shape(partition(3215, 8192, 128))).toBe("63×51+2"); // ImageNet
    expect(shape(partition(1000, 1000, 128))).toBe("6×143+142"); // a batch that ghosts do not divide: 7 pieces
    expect(shape(partition(4096, 4096, 128))).toBe("32×128");
    expect(shape(partition(80, 128, 128))).toBe("1×80"); // CIFAR, small batch
  });

  test("weighs samples by the mean of the pieces' means", () => {
    const { weightPerSample, weightPerSampleLast } = partition(848, 4096, 128);
    expect(weightPerSample).toBe(1 / (32 * 27));
    expect(weightPerSampleLast / weightPerSample).toBeCloseTo(27 / 11, 12); // 2.45
  });

  test("makes no ghost of one value", () => {
    expect(shape(partition(28, 384, 128))).toBe("2×10+8");
    expect(partition(28, 384, 128).warnings).toEqual([]);
    const one = partition(7, 384, 128); // 3, 3, 1
    expect(shape(one)).toBe("1×3+4");
    expect(one.warnings).toHaveLength(1);
    expect(one.warnings[0]).toMatch(/last ghost of 1 of 7/);
    const all = partition(21, 4096, 128); // 21 pieces of 1
    expect(shape(all)).toBe("9×2+3");
    expect(all.warnings).toEqual([
      "splitting 21 samples into pieces of 1 leaves one value per channel: using pieces of 2",
      "a last ghost of 1 of 21 samples is too small for batch norm: " +
        "it is merged with the ghost before it, which then has 3",
    ]);
    // With pixels a single sample has many values.
    expect(shape(partition(21, 4096, 128, { pixels: 64 }))).toBe("21×1");
    expect(partition(21, 4096, 128, { pixels: 64 }).warnings).toEqual([]);
  });
});

describe("the exact policy", () => {
  const exact = (
    samples: number,
    batchSize: number,
    ghostSize: number,
    options: Partial<PartitionOptions> = {},
  ) => partition(samples, batchSize, ghostSize, { policy: "exact", ...options });

  test("keeps the ghost size and gives a large enough remainder a ghost of its own", () => {
    expect(shape(exact(848, 4096, 128))).toBe("6×128+80");
    expect(shape(exact(2656, 4096, 128))).toBe("20×128+96");
    expect(shape(exact(1000, 1000, 128))).toBe("7×128+104");
    expect(shape(exact(136, 256, 128))).toBe("1×128+8");
    expect(exact(136, 256, 128).warnings).toEqual([]);
  });

  test("merges a remainder with too few values", () => {
    expect(shape(exact(135, 256, 128))).toBe("1×135");
    expect(exact(135, 256, 128).warnings[0]).toMatch(/last ghost of 7 of 135/);
    // For a full batch that ghosts do not divide evenly, the warning says what happens and which size would.
    expect(exact(128, 128, 100).warnings).toEqual([
      "a batch of 128 is not a multiple of the ghost size 100: 100 images are normalized together, and the last 28 by themselves, with noisier statistics; a ghost size of 64 would divide it evenly",
    ]);
    expect(exact(256, 256, 96).warnings[0]).toMatch(
      /2 ghosts of 96 images are each normalized together, and the last 64 by themselves.* size of 64 would/,
    );
    expect(exact(256, 256, 64).warnings).toEqual([]);
    expect(shape(exact(129, 256, 128, { pixels: 64 }))).toBe("1×128+1");
    expect(shape(exact(129, 256, 128, { pixels: 64, minimumValues: 65 }))).toBe("1×129");
    expect(shape(exact(5, 256, 128))).toBe("1×5");
    expect(shape(exact(129, 256, 128, { minimumValues: 1 }))).toBe("1×129");
  });

  test("gives every sample the same weight", () => {
    const { weightPerSample, weightPerSampleLast } = exact(848, 4096, 128);
    expect([weightPerSample, weightPerSampleLast]).toEqual([1 / 848, 1 / 848]);
  });
});

test("every policy: each sample once, weights that add up to 1, no ghost of one value", () => {
  const wrong: string[] = [];
  for (let i = 0; i < 5000; i++) {
    const [a, b, c, d] = pcg4d(7, STREAMS.noise, 0, i);
    const batchSize = 2 + boundedInteger(a, 600);
    const ghostSize = 2 + boundedInteger(b, 300);
    const samples = 2 + boundedInteger(c, batchSize - 1);
    const pixels = [1, 1, 4, 64][boundedInteger(d, 4)];
    for (const policy of PARTIAL_POLICIES) {
      if (policy === "drop" && samples < batchSize) continue;
      const result = partitionBatch({ samples, batchSize, ghostSize, policy, pixels });
      const { ghosts, last, total, warnings } = result;
      const isRight =
        ghosts >= 1 &&
        total === (ghosts - 1) * result.ghostSize + last &&
        total === (policy === "wrap" ? batchSize : samples) &&
        Math.abs(sumOfWeights(result) - 1) < 1e-12 &&
        Math.min(result.ghostSize, last) * pixels >= 2 &&
        (policy === "authors" || result.ghostSize === ghostSize || ghosts === 1) &&
        (last <= result.ghostSize || warnings.length > 0);
      if (!isRight)
        wrong.push(
          `${samples} of ${batchSize} in ${ghostSize}, ${pixels} pixels, ${policy}: ${shape(result)}`,
        );
    }
  }
  expect(wrong).toEqual([]);
});

test("a ghost as large as the batch, or larger, is plain batch norm", () => {
  for (const policy of PARTIAL_POLICIES) {
    expect(shape(partition(100, 100, 100, { policy }))).toBe("1×100");
    const clamped = partition(100, 100, 128, { policy });
    expect(shape(clamped)).toBe("1×100");
    expect(clamped.warnings).toEqual([
      "the ghost size of 128 is larger than the batch size: using 100, plain batch norm",
    ]);
  }
});

describe("epochs", () => {
  const epoch = (samples: number, policy: PartitionOptions["policy"]) =>
    planEpoch({ samples, batchSize: 4096, ghostSize: 128, policy });

  test("keep, drop or fill the partial last batch", () => {
    const shapes = (policy: PartitionOptions["policy"]) => {
      const { stepsPerEpoch: steps, full, last } = epoch(50_000, policy);
      return [steps, shape(full as PlannedLayout), shape(last)];
    };
    expect(shapes("authors")).toEqual([13, "32×128", "31×27+11"]);
    expect(shapes("exact")).toEqual([13, "32×128", "6×128+80"]);
    expect(shapes("drop")).toEqual([12, "32×128", "32×128"]);
    expect(shapes("wrap")).toEqual([13, "32×128", "32×128"]);
  });

  test("may have only one batch, full or partial", () => {
    const one = epoch(4096, "authors");
    expect([one.stepsPerEpoch, shape(one.last), one.full]).toEqual([1, "32×128", one.last]);
    expect(epoch(1000, "exact").full).toBeNull();
    expect(shape(epoch(1000, "exact").last)).toBe("7×128+104");
    expect(() => epoch(1000, "drop")).toThrow(/1000 samples do not fill a batch of 4096/);
    expect(stepsPerEpoch({ samples: 60_000, batchSize: 128, policy: "authors" })).toBe(469);
  });
});

test("impossible sizes are refused by name", () => {
  const refused = (run: () => unknown, message: RegExp) => {
    expect(run).toThrow(UsageError);
    expect(run).toThrow(message);
  };
  refused(() => partition(1, 128, 128), /a batch of 1 leaves batch norm only one value/);
  refused(() => partition(128, 128, 1), /a ghost size of 1 leaves batch norm only one value/);
  refused(() => partition(129, 128, 32), /129 samples is larger than the batch size of 128/);
  refused(() => partition(127, 128, 32, { policy: "drop" }), /drop/);
  refused(() => partition(128, 0, 32), /batch size: .* got 0/);
  refused(() => partition(128, 128, Number.NaN), /ghost size: .* got NaN/);
  expect(shape(partition(1, 128, 128, { pixels: 64 }))).toBe("1×1");
});

describe("slabs", () => {
  const shapes = (layout: GhostLayout, slabSamples: number) => slabs(layout, slabSamples).map(shape);

  test("are few, equal if possible, and made of whole ghosts", () => {
    expect(shapes(partition(4096, 4096, 128), 4096)).toEqual(["32×128"]);
    expect(shapes(partition(4096, 4096, 128), 4095)).toEqual(["16×128", "16×128"]);
    expect(shapes(partition(4096, 4096, 128), 1500)).toEqual(["11×128", "11×128", "10×128"]);
    expect(shapes(partition(848, 4096, 128), 300)).toEqual(["11×27", "11×27", "9×27+11"]);
    expect(shapes(partition(12, 12, 4), 4)).toEqual(["1×4", "1×4", "1×4"]);
  });

  test("make room for a last ghost that is larger than the others", () => {
    const merged = partition(7, 384, 128); // 3 and 4
    expect(shapes(merged, 7)).toEqual(["1×3+4"]);
    expect(slabs(merged, 4).map(({ total }) => total)).toEqual([3, 4]);
    expect(() => slabs(merged, 3)).toThrow(/a ghost of 4 samples does not fit in a slab of at most 3/);
  });

  test("cover the batch in order and keep each sample's weight", () => {
    for (let i = 0; i < 500; i++) {
      const [a, b, c] = pcg4d(8, STREAMS.noise, 0, i);
      const batchSize = 2 + boundedInteger(a, 600);
      const whole = partition(2 + boundedInteger(c, batchSize - 1), batchSize, 2 + boundedInteger(b, 60));
      const list = slabs(whole, Math.max(whole.ghostSize, whole.last) + boundedInteger(b ^ c, 200));
      let [ghost, sample, weights] = [0, 0, 0];
      for (const slab of list) {
        expect([slab.firstGhost, slab.firstSample]).toEqual([ghost, sample]);
        ghost += slab.ghosts;
        sample += slab.total;
        weights += sumOfWeights(slab);
      }
      expect([ghost, sample]).toEqual([whole.ghosts, whole.total]);
      expect(weights).toBeCloseTo(1, 10);
    }
  });
});
