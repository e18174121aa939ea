import { PNG } from "pngjs";
import { expect, test } from "vitest";
import { drawSheet, type SheetOptions } from "../../src/report/sheet.ts";

const TWO = { title: "", channels: 3, height: 1, width: 2, labels: ["", ""] };
/** Side, in pixels, to which each of two pixels is enlarged. */
const SIDE = 64;

async function draw(images: readonly number[], options: SheetOptions): Promise<PNG> {
  return PNG.sync.read(Buffer.from(await drawSheet(Uint8Array.from(images), options)));
}

function countOf({ data }: PNG, isWanted: (red: number, green: number, blue: number) => boolean): number {
  let count = 0;
  for (let i = 0; i < data.length; i += 4) if (isWanted(data[i]!, data[i + 1]!, data[i + 2]!)) count++;
  return count;
}

const isDark = (...colour: number[]) => colour.every((value) => value < 100);

test("a sheet shows each image enlarged in its colors, grayscale ones too", async () => {
  // Two images of 2 × 1 pixels, red then green; blue then yellow.
  const sheet = await draw([255, 0, 0, 255, 0, 0, 0, 255, 0, 255, 255, 0], TWO);
  const counts = [
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 0],
  ].map(([r, g, b]) => countOf(sheet, (...colour) => colour.join() === [r, g, b].join()));
  expect(counts).toEqual([SIDE ** 2, SIDE ** 2, SIDE ** 2, SIDE ** 2]);

  const grey = await draw([77], { ...TWO, channels: 1, width: 1, labels: [""] });
  expect(countOf(grey, (...colour) => colour.join() === "77,77,77")).toBe((2 * SIDE) ** 2);
});

test("every label is drawn below its image and no wider than it, whatever its text", async () => {
  const light = [200, 200, 200, 200, 200, 200];
  const draws = (label: string) => draw(light, { ...TWO, labels: [label] });
  const empty = await draws("");
  const pictures = new Set<string>();
  const labels = [
    "cat",
    "é_ñandú",
    "<wing> & co.",
    "語",
    "\u001b[31m",
    "a rather long name of a class",
    "l".repeat(999),
  ];
  for (const label of labels) {
    const sheet = await draws(label);
    expect([sheet.width, sheet.height], label).toEqual([empty.width, empty.height]);
    expect(countOf(sheet, isDark), label).toBeGreaterThan(10);
    // Nothing reaches the right edge.
    const edge = [...sheet.data.keys()].filter(
      (i) => i % 4 === 0 && (i / 4) % sheet.width >= sheet.width - 8,
    );
    expect(
      edge.every((i) => sheet.data[i]! > 150),
      label,
    ).toBe(true);
    pictures.add(sheet.data.toString("latin1"));
  }
  expect(pictures.size).toBe(labels.length);
  expect(countOf(empty, isDark)).toBe(0);

  const titled = await draw(light, {
    ...TWO,
    labels: [""],
    title: "a title that is wider than the only image below it",
  });
  expect(titled.width).toBeGreaterThan(empty.width);
});
