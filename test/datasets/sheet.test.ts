import { PNG } from "pngjs";
import { expect, test } from "vitest";
import { drawText, GLYPH_ADVANCE, GLYPH_HEIGHT } from "../../src/datasets/bitmap-font.ts";
import { bytesOf, drawSheet } from "../../src/datasets/sheet.ts";

function drawn(text: string): string {
  const rows = Array.from({ length: GLYPH_HEIGHT }, () => new Array(text.length * GLYPH_ADVANCE).fill("."));
  drawText(text, (x, y) => {
    rows[y]![x] = "#";
  });
  return rows.map((row) => row.join("")).join("\n");
}

test("every letter of class names has a shape of its own", () => {
  const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.,:'()/&+#=%"];
  const shapes = letters.map(drawn);
  expect(new Set(shapes).size).toBe(letters.length);
  expect(drawn(" ")).not.toContain("#");
  expect(drawn("é")).toBe(drawn("語"));
  expect(drawn("F7").split("\n")).toEqual([
    "#####.#####.",
    "#.........#.",
    "#........#..",
    "####....#...",
    "#......#....",
    "#......#....",
    "#......#....",
  ]);
});

test("a sheet shows each image enlarged in its colours, grey ones too", () => {
  // Two images of 2 × 1 pixels, red then green; blue then white.
  const images = Uint8Array.of(255, 0, 0, 255, 0, 0, 0, 255, 0, 255, 255, 255);
  const shape = {
    title: "two",
    channels: 3,
    height: 1,
    width: 2,
    labels: ["one", "a rather long name of a class"],
  };
  const sheet = PNG.sync.read(Buffer.from(drawSheet(images, shape)));
  const count = (r: number, g: number, b: number) => {
    let sum = 0;
    for (let i = 0; i < sheet.data.length; i += 4) {
      if (sheet.data[i] === r && sheet.data[i + 1] === g && sheet.data[i + 2] === b) sum++;
    }
    return sum;
  };
  const pixels = 64 ** 2; // 128 / 2 each way
  expect([count(255, 0, 0), count(0, 255, 0), count(0, 0, 255)]).toEqual([pixels, pixels, pixels]);
  expect(count(0, 0, 0)).toBeGreaterThan(50); // letters

  const grey = PNG.sync.read(
    Buffer.from(drawSheet(Uint8Array.of(77), { ...shape, channels: 1, width: 1, labels: ["x"] })),
  );
  const found = new Set<string>();
  for (let i = 0; i < grey.data.length; i += 4) found.add(grey.data.subarray(i, i + 3).join());
  expect(found).toContain("77,77,77");
});

test("bytes are what was normalized", () => {
  const normalization = { mean: [0.5, 0.2], standardDeviation: [0.25, 0.1] };
  const bytes = Uint8Array.of(0, 255, 127, 3, 200, 100);
  const [height, width] = [1, 3];
  const x = Float32Array.from(bytes, (byte, i) => {
    const c = Math.floor(i / 3);
    return (byte / 255 - normalization.mean[c]!) / normalization.standardDeviation[c]!;
  });
  expect([...bytesOf(x, { normalization, height, width } as never)]).toEqual([...bytes]);
});
