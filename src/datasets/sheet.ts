/** A sheet of labelled images as a PNG file, to be checked by eye. */
import { PNG } from "pngjs";
import { type DatasetFacts, imageBytes } from "../data/dataset.ts";
import { drawText, GLYPH_ADVANCE, GLYPH_HEIGHT } from "./bitmap-font.ts";

export interface SheetOptions {
  /** A line above the images. */
  readonly title: string;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** One text for each image. */
  readonly labels: readonly string[];
}

/** Pixels that an image is enlarged to, in whole steps: small ones can be seen, and a label of ten letters fits below. */
const CELL = 128;
const GAP = 8;
const LETTER_SCALE = 2;
const BACKGROUND = 255;
const INK = 0;
/** Around every image, so that grey padding can be told from the sheet. */
const FRAME = 190;

/**
 * Draws images in rows, each with its label.
 * @param images [n, channels, height, width] bytes; one channel is grey, three are red, green and blue
 * @returns the bytes of a PNG file
 */
export function drawSheet(images: Uint8Array, options: SheetOptions): Uint8Array {
  const { title, channels, height, width, labels } = options;
  const scale = Math.max(1, Math.round(CELL / Math.max(width, height)));
  const columns = Math.max(1, Math.ceil(Math.sqrt(labels.length)));
  const rows = Math.ceil(labels.length / columns);
  const textHeight = GLYPH_HEIGHT * LETTER_SCALE;
  const cell = { width: width * scale + GAP, height: height * scale + textHeight + 2 * GAP };
  const top = textHeight + 2 * GAP;
  const needed = Math.max(columns * cell.width, textWidth(title, LETTER_SCALE) + GAP);
  const canvas = new Canvas(needed + GAP, top + rows * cell.height);

  canvas.text(title, GAP, GAP, LETTER_SCALE);
  const size = imageBytes(options);
  for (const [i, label] of labels.entries()) {
    const left = GAP + (i % columns) * cell.width;
    const y = top + Math.floor(i / columns) * cell.height;
    canvas.frame(left - 1, y - 1, width * scale + 2, height * scale + 2);
    const image = images.subarray(i * size, (i + 1) * size);
    canvas.image(image, { channels, height, width }, left, y, scale);
    // A long name is drawn smaller, and cut where even that is too long.
    const small = textWidth(label, LETTER_SCALE) > width * scale;
    const letters = Math.floor((width * scale + GAP) / GLYPH_ADVANCE);
    const below = y + height * scale + GAP / 2;
    canvas.text(small ? label.slice(0, letters) : label, left, below, small ? 1 : LETTER_SCALE);
  }
  return canvas.encode();
}

/** The bytes that a network sees as x = (byte / 255 − mean) / deviation. @param x [n, channels, height, width] */
export function bytesOf(x: Float32Array, { normalization, height, width }: DatasetFacts): Uint8Array {
  const { mean, standardDeviation } = normalization;
  const plane = height * width;
  return Uint8ClampedArray.from(x, (value, i) => {
    const channel = Math.floor(i / plane) % mean.length;
    return 255 * (value * standardDeviation[channel] + mean[channel]);
  }) as unknown as Uint8Array;
}

function textWidth(text: string, scale: number): number {
  return text.length * GLYPH_ADVANCE * scale;
}

class Canvas {
  readonly #png: PNG;

  constructor(width: number, height: number) {
    this.#png = new PNG({ width, height });
    this.#png.data.fill(BACKGROUND);
  }

  encode(): Uint8Array {
    return PNG.sync.write(this.#png);
  }

  text(text: string, left: number, top: number, scale: number): void {
    drawText(text, (x, y) => this.#square(left + x * scale, top + y * scale, scale, INK, INK, INK));
  }

  frame(left: number, top: number, width: number, height: number): void {
    for (let y = top; y < top + height; y++) {
      for (let x = left; x < left + width; x++) this.#square(x, y, 1, FRAME, FRAME, FRAME);
    }
  }

  image(
    bytes: Uint8Array,
    { channels, height, width }: Pick<DatasetFacts, "channels" | "height" | "width">,
    left: number,
    top: number,
    scale: number,
  ): void {
    const plane = height * width;
    for (let i = 0; i < plane; i++) {
      const [red, green, blue] = [0, 1, 2].map((c) => bytes[i + (channels >= 3 ? c : 0) * plane]);
      const x = left + (i % width) * scale;
      this.#square(x, top + Math.floor(i / width) * scale, scale, red, green, blue);
    }
  }

  #square(left: number, top: number, side: number, red: number, green: number, blue: number): void {
    const { data, width } = this.#png;
    for (let y = top; y < top + side; y++) {
      for (let x = left; x < left + side; x++) data.set([red, green, blue], 4 * (y * width + x));
    }
  }
}
