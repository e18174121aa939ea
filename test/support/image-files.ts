// Small image files for tests.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PNG } from "pngjs";

/** [red, green, blue] of the pixel at (x, y) */
export type Paint = (x: number, y: number) => readonly [number, number, number];

export function pngBytes(width: number, height: number, paint: Paint): Buffer {
  const png = new PNG({ width, height });
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) png.data.set([...paint(x, y), 255], 4 * (y * width + x));
  }
  return PNG.sync.write(png);
}

/** Writes files into a folder, and the folders they are in. */
export function writeFiles(folder: string, files: Readonly<Record<string, Uint8Array | string>>): string {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  return folder;
}
