// Matrix product and row sums on the GPU against float64, in both variants, with every tile and every way of storing.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchMatmul, type MatmulOptions } from "../../src/kernels/matmul.ts";
import { MATMUL_TILES } from "../../src/kernels/matmul-cuts.ts";
import { NARROW_MATMUL_TILES, narrowMatmulCuts } from "../../src/kernels/matmul-narrow-cuts.ts";
import { launchSumRows } from "../../src/kernels/sum-rows.ts";
import { matmul } from "../../src/reference/matmul.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

const VARIANTS = ["narrow", "wide"] as const;
type Variant = (typeof VARIANTS)[number];

/** How A and B are stored: as they are, or transposed. A linear layer needs the first three. */
const FORMS = { NT: [false, true], NN: [false, false], TN: [true, false], TT: [true, true] } as const;
type Form = keyof typeof FORMS;

/** What happens to the sums: stored, a bias added, or added to what C holds. */
const ENDINGS = ["stored", "biased", "accumulated"] as const;
type Ending = (typeof ENDINGS)[number];

/** M, N, K. */
type Size = readonly [number, number, number];

const SIZES: readonly Size[] = [
  [1, 1, 1],
  [1, 7, 3],
  [5, 1, 9],
  [13, 29, 31], // primes
  [32, 64, 4], // one tile of the narrow kernel, one iteration of its loop
  [17, 33, 10],
  [64, 96, 64], // whole tiles of the wide kernel, whole vec4
  [67, 35, 129],
  [40, 10, 128], // few columns: computed transposed
  [10, 128, 513], // few tiles, long sums: sliced along K in the wide variant
  [9, 11, 1030], // and in the narrow one if A is transposed
];

type Cut = Pick<MatmulOptions, "cut" | "narrowCut">;

/** Runs one product with the same data every time. C is full of NaN unless the product is added to it. */
async function product(
  variant: Variant,
  [M, N, K]: Size,
  form: Form,
  ending: Ending,
  cut: Cut = {},
): Promise<{ actual: Float32Array; reference: Float64Array }> {
  const [transposeA, transposeB] = FORMS[form];
  const data = randomData(M * 10_000 + N * 100 + K);
  const host = {
    a: data.normals(M * K),
    b: data.normals(K * N),
    bias: data.normals(N, { deviation: 3 }),
    c: data.normals(M * N, { deviation: 3 }),
  };
  const accumulate = ending === "accumulated";
  const c = fromArray(gpu, accumulate ? host.c : new Float32Array(M * N).fill(Number.NaN), [M, N]);
  const bias = ending === "biased" ? fromArray(gpu, host.bias) : undefined;
  const a = fromArray(gpu, host.a, transposeA ? [K, M] : [M, K]);
  const b = fromArray(gpu, host.b, transposeB ? [N, K] : [K, N]);
  gpu.variant = variant;
  launchMatmul({ a, b, bias, c }, { transposeA, transposeB, accumulate, ...cut });
  const actual = await readFloats(c);

  const { a: left, b: right } = host;
  const reference = matmul(
    ending === "biased" ? { a: left, b: right, bias: host.bias } : { a: left, b: right },
    { rows: M, inner: K, columns: N, transposeA, transposeB },
  );
  return { actual, reference: accumulate ? reference.map((sum, i) => sum + host.c[i]) : reference };
}

async function check(variant: Variant, size: Size, form: Form, ending: Ending, cut: Cut = {}): Promise<void> {
  const { actual, reference } = await product(variant, size, form, ending, cut);
  const bound = roundingBound({ terms: size[2] + 1, scale: largest(reference) });
  const label = `${variant} ${form} ${ending} (${size.join(", ")})`;
  expectClose(actual, reference, { bound, label, shape: size.slice(0, 2) });
}

describe.each(VARIANTS)("matmul, %s", (variant) => {
  test.each(SIZES)("(%i, %i, %i) in every form, with every ending", async (...size) => {
    // Forms and endings are independent in the kernels: each pair occurs at some sizes, not at all of them.
    for (const [i, form] of (Object.keys(FORMS) as Form[]).entries()) {
      await check(variant, size, form, ENDINGS[(i + SIZES.indexOf(size)) % ENDINGS.length]!);
    }
  });

  test.each(Object.keys(FORMS) as Form[])("an infinity stays in its row and column, %s", async (form) => {
    const [M, N, K] = [13, 29, 31];
    const [transposeA, transposeB] = FORMS[form];
    const [a, b] = [new Float32Array(M * K).fill(1), new Float32Array(K * N).fill(1)];
    a[transposeA ? 3 : 3 * K] = Number.POSITIVE_INFINITY; // op(A)[3, 0]: what a read beyond row 2 would find
    b[transposeB ? 5 * K : 5] = Number.POSITIVE_INFINITY; // op(B)[0, 5]
    const c = fromArray(gpu, new Float32Array(M * N), [M, N]);
    gpu.variant = variant;
    const [left, right] = [
      fromArray(gpu, a, transposeA ? [K, M] : [M, K]),
      fromArray(gpu, b, transposeB ? [N, K] : [K, N]),
    ];
    launchMatmul({ a: left, b: right, c }, { transposeA, transposeB });
    const expected = Float32Array.from({ length: M * N }, (_, i) =>
      Math.floor(i / N) === 3 || i % N === 5 ? Number.POSITIVE_INFINITY : K,
    );
    expect(await readFloats(c)).toEqual(expected);
  });

  test("the same bits every time", async () => {
    const first = await product(variant, [10, 128, 513], "TN", "stored");
    const second = await product(variant, [10, 128, 513], "TN", "stored");
    expect(second.actual).toEqual(first.actual);
  });
});

describe.each(MATMUL_TILES)("matmul, tile of $TILE_M × $TILE_N, $TEAMS teams", (tile) => {
  test.each([
    ["NT", "biased", [150, 140, 100], 3], // packed rows; the last slice is shorter
    ["TN", "accumulated", [150, 140, 37], 2], // rows of A that are not whole vec4s
    ["NN", "stored", [129, 260, 5], 1],
  ] as const)("%s %s (%j) in %i slices", async (form, ending, size, slices) => {
    await check("wide", size, form, ending, { cut: { tile, slices } });
  });
});

test.each([
  [[128, 512, 784], false, { GROUPS: 4, transposed: 0, slices: 1 }], // F1's first layer
  [[128, 10, 512], false, { GROUPS: 2, ROWS: 5, transposed: 1, slices: 1 }], // the classifier: 10 rows, and no column wasted
  [[10, 512, 128], true, { GROUPS: 2, ROWS: 5, transposed: 0, slices: 1 }],
  [[512, 512, 1024], true, { GROUPS: 4, slices: 1 }],
  [[512, 512, 4096], true, { GROUPS: 4, slices: 8 }],
  [[512, 512, 4096], false, { GROUPS: 4, slices: 1 }],
] as const)("%j, may be sliced: %s, is divided on a narrow adapter into %j", (size, sliceable, expected) => {
  const cuts = narrowMatmulCuts(size, { sliceable });
  expect(cuts[0]).toMatchObject(expected);
  expect(new Set(cuts.map((cut) => JSON.stringify(cut))).size).toBe(cuts.length);
});

describe.each(NARROW_MATMUL_TILES)("matmul, narrow tile of $GROUPS · $ROWS × 8 · $COLUMNS", (tile) => {
  test.each([
    ["NT", "biased", [75, 70, 19], 1, 0],
    ["NT", "biased", [70, 75, 20], 1, 1],
    ["TN", "stored", [35, 130, 37], 3, 0], // the last slice is shorter
    ["TN", "accumulated", [70, 33, 41], 2, 1],
  ] as const)("%s %s (%j) in %i slices, transposed: %i", async (form, ending, size, slices, transposed) => {
    await check("narrow", size, form, ending, { narrowCut: { ...tile, slices, transposed } });
  });

  test("the same bits as any other tile", async () => {
    const size = [41, 67, 77] as const;
    const [first] = NARROW_MATMUL_TILES;
    const cuts = [
      { ...first!, slices: 1, transposed: 0 },
      { ...tile, slices: 1, transposed: 1 },
    ] as const;
    const [expected, found] = [
      await product("narrow", size, "NT", "biased", { narrowCut: cuts[0] }),
      await product("narrow", size, "NT", "biased", { narrowCut: cuts[1] }),
    ];
    expect(found.actual).toEqual(expected.actual);
  });
});

describe.each(VARIANTS)("sum of rows, %s", (variant) => {
  test.each([
    [1, 1],
    [3, 5],
    [33, 17],
    [1031, 131],
    [4, 300],
  ])("of [%i, %i], written and added to", async (rows, columns) => {
    const data = randomData(rows + columns);
    const [x, held] = [data.normals(rows * columns), data.normals(columns)];
    const sums = matmul({ a: new Float64Array(rows).fill(1), b: x }, { rows: 1, inner: rows, columns });
    gpu.variant = variant;
    for (const accumulate of [false, true]) {
      const y = fromArray(gpu, accumulate ? held : new Float32Array(columns).fill(Number.NaN));
      launchSumRows({ x: fromArray(gpu, x, [rows, columns]), y }, { accumulate });
      const reference = accumulate ? sums.map((sum, j) => sum + held[j]) : sums;
      const bound = roundingBound({ terms: rows + 1, scale: largest(reference) });
      expectClose(await readFloats(y), reference, { bound, label: `${variant} accumulate ${accumulate}` });
    }
  });
});
