// `bench gbn` on this adapter: its variants compute the same values, and its bytes and tables are correct.

import { beforeAll, describe, expect, test } from "vitest";
import {
  benchGhostCost,
  GHOST_LAUNCHES,
  GHOST_VARIANTS,
  type GhostRow,
  ghostLayer,
  ghostSizesUpTo,
  shapeText,
} from "../../src/bench/ghost-cost.ts";
import { ghostCsv } from "../../src/bench/ghost-csv.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { persistent, readFloats } from "../../src/tensor/tensor.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});

async function everyRow(parts: AsyncGenerator<GhostRow[]>): Promise<GhostRow[]> {
  const rows: GhostRow[] = [];
  for await (const part of parts) rows.push(...part);
  return rows;
}

/** A table that pandas.read_csv reads without options: one header, the same number of cells in every line, one type per column. */
function expectTable(text: string, rows: number): void {
  const lines = text.split("\n").map((line) => line.match(/("([^"]|"")*"|[^,]*)(,|$)/g)!.slice(0, -1));
  expect(lines.pop()).toEqual([]); // the text ends with a newline
  const [head, ...body] = lines.map((cells) => cells.map((cell) => cell.replace(/,$/, "")));
  expect(body.length).toBe(rows);
  expect(new Set(head).size).toBe(head!.length);
  expect(head).toEqual(
    expect.arrayContaining(["adapter", "software", "channels", "height", "width", "median_ms"]),
  );
  const texts = ["adapter", "software", "variant", "direction"];
  for (const cells of body) {
    expect(cells.length).toBe(head!.length);
    const numbers = cells.filter((_, column) => !texts.includes(head![column]!));
    expect(numbers.filter((cell) => cell === "" || !Number.isFinite(Number(cell)))).toEqual([]);
  }
}

describe("bench gbn", () => {
  test.each([[[4, 4, 4]], [[32, 1, 1]]] as const)(
    "the variants compute the same values at %j",
    async (shape) => {
      const results = new Map<string, Float32Array[]>();
      for (const variant of GHOST_VARIANTS) {
        const layer = ghostLayer(gpu, 32, shape);
        const statistics = persistent(gpu, [4, shape[0], 2]);
        gpu.scope(() => GHOST_LAUNCHES[variant].forward(layer, statistics, 8));
        gpu.scope(() => GHOST_LAUNCHES[variant].backward(layer, statistics, 8));
        const { y, dx, dgamma, dbeta } = layer;
        results.set(variant, await Promise.all([y, dx, dgamma, dbeta].map(readFloats)));
      }
      for (const variant of GHOST_VARIANTS) {
        for (const [i, expected] of results.get("fused")!.entries()) {
          // Sums in a different order. A ReLU whose input rounds to the other side of 0 would show as a whole dy.
          const bound = roundingBound({ terms: 256, scale: largest(expected) });
          expectClose(results.get(variant)![i]!, expected, { bound, label: `${variant} ${i}` });
        }
        expect(largest(results.get(variant)![0]!)).toBeGreaterThan(1);
      }
    },
  );

  test("bytes per element are those that the passes move", async () => {
    const options = {
      batch: 32,
      shapes: [[4, 4, 4] as const, [32, 1, 1] as const],
      ghostSizes: [8, 32],
      n: 3,
    };
    const rows = await everyRow(benchGhostCost(gpu, options));
    expect(rows.length).toBe(2 * (1 + 2 * 3 * 2));
    expect(rows.filter(({ variant }) => variant === "copy").map(({ copyShare }) => copyShare)).toEqual([
      1, 1,
    ]);
    expectTable(ghostCsv({ name: 'llvmpipe, "x"', software: true }, rows), rows.length);
    const of = (shape: string, variant: string, direction: string, ghostSize = 8) =>
      rows.find(
        (row) =>
          shapeText(row) === shape &&
          row.variant === variant &&
          row.direction === direction &&
          row.ghostSize === ghostSize,
      )!;
    expect(of("4×4×4", "unfused", "forward").bytesPerElement).toBe(20); // statistics 4, normalize 8, relu 8
    expect(of("4×4×4", "fused", "forward").bytesPerElement).toBe(12);
    // relu 12, sums 8, dx 12, and a few numbers per channel
    expect(of("4×4×4", "unfused", "backward").bytesPerElement).toBeCloseTo(32, 0);
    // The narrow kernel finds x and dy in a cache the second time: 12. The wide ones read them twice.
    const fused = gpu.variant === "narrow" ? 12 : 20;
    expect(of("4×4×4", "fused", "backward").bytesPerElement).toBeCloseTo(fused, 0);
    expect(of("32×1×1", "fused", "forward").bytesPerElement).toBe(8); // one pass
    expect(of("4×4×4", "sequential", "forward").dispatches).toBe(
      4 * of("4×4×4", "fused", "forward").dispatches,
    );
    for (const { modelMs, copyShare, gigabytesPerSecond } of rows) {
      expect(Math.min(modelMs, copyShare, gigabytesPerSecond)).toBeGreaterThan(0);
    }
    expect(ghostSizesUpTo(64)).toEqual([8, 16, 32, 64]);
  });
});
