/** A sheet of labelled images as a PNG file, for visual inspection. */
import { PNG } from "pngjs";
import { type DatasetFacts, imageBytes } from "../data/dataset.ts";
import { escapeMarkup } from "./markup.ts";
import { FONT, openSvg } from "./svg.ts";

type ImageShape = Pick<DatasetFacts, "channels" | "height" | "width">;

export interface SheetOptions extends ImageShape {
  /** A line above the images. */
  readonly title: string;
  /** One text for each image. */
  readonly labels: readonly string[];
}

/** Pixels to which an image is enlarged, by a whole factor, so that details are visible and most class names fit below. */
const CELL = 128;
const GAP = 8;
/** Font sizes in pixels: of labels that fit below their image, and the smallest legible one. */
const FONT_SIZE = { full: 15, smallest: 10 };
const LINE = FONT_SIZE.full + GAP;
/** A frame around every image, so that grey padding can be distinguished from the sheet. */
const FRAME = "#bebebe";

/**
 * Draws images in rows, each with its label.
 * @param images [n, channels, height, width] bytes; one channel is grey, three are red, green and blue
 * @returns the bytes of a PNG file
 */
export async function drawSheet(images: Uint8Array, options: SheetOptions): Promise<Uint8Array> {
  const { title, labels } = options;
  const scale = Math.max(1, Math.round(CELL / Math.max(options.width, options.height)));
  const [width, height] = [options.width * scale, options.height * scale];
  const columns = Math.max(1, Math.ceil(Math.sqrt(labels.length)));
  const rows = Math.ceil(labels.length / columns);
  const cell = { width: width + GAP, height: height + LINE + GAP };
  const shown = new Map<string, FittedText>();
  for (const label of new Set(labels)) shown.set(label, await fitted(label, width));

  const size = imageBytes(options);
  const parts = labels.map((label, i) => {
    const x = GAP + (i % columns) * cell.width;
    const y = LINE + GAP + Math.floor(i / columns) * cell.height;
    const frame = `x="${x - 1}" y="${y - 1}" width="${width + 2}" height="${height + 2}"`;
    const place = `x="${x}" y="${y}" width="${width}" height="${height}"`;
    const data = pngInBase64(images.subarray(i * size, (i + 1) * size), options);
    const { text, fontSize } = shown.get(label)!;
    return (
      `<rect ${frame} fill="${FRAME}"/>` +
      // optimizeSpeed keeps pixels square.
      `<image ${place} image-rendering="optimizeSpeed" href="data:image/png;base64,${data}"/>` +
      textElement(text, { x, y: y + height + FONT_SIZE.full, fontSize })
    );
  });
  const titleWidth = Math.ceil(await textWidth(printable(title), FONT_SIZE.full));
  const total = {
    width: GAP + Math.max(columns * cell.width, titleWidth + GAP),
    height: LINE + GAP + rows * cell.height,
  };
  const heading = textElement(printable(title), { x: GAP, y: LINE - GAP / 2, fontSize: FONT_SIZE.full });
  const drawing = await openSvg(svgElement(total, heading + parts.join("")), { background: "white" });
  return drawing.render().asPng();
}

interface FittedText {
  readonly text: string;
  readonly fontSize: number;
}

/** Shrinks a text that is too long, and truncates it if that is not enough. */
async function fitted(label: string, width: number): Promise<FittedText> {
  const text = printable(label);
  const fontSize = Math.min(
    FONT_SIZE.full,
    (FONT_SIZE.full * width) / (await textWidth(text, FONT_SIZE.full)),
  );
  if (fontSize >= FONT_SIZE.smallest) return { text, fontSize };
  const letters = [...text];
  let cut = text;
  for (let all = await textWidth(cut, FONT_SIZE.smallest); all > width && letters.length > 1; ) {
    letters.length = Math.max(1, Math.min(letters.length - 1, Math.floor((letters.length * width) / all)));
    cut = `${letters.join("").trimEnd()}…`;
    all = await textWidth(cut, FONT_SIZE.smallest);
  }
  return { text: cut, fontSize: FONT_SIZE.smallest };
}

/** Width of a text in pixels. */
async function textWidth(text: string, fontSize: number): Promise<number> {
  const nowhere = textElement(text, { x: 0, y: 0, fontSize });
  const box = (await openSvg(svgElement({ width: 1, height: 1 }, nowhere))).getBBox();
  return box ? box.x + box.width : 0;
}

function svgElement({ width, height }: { width: number; height: number }, content: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${content}</svg>`;
}

function textElement(text: string, { x, y, fontSize }: { x: number; y: number; fontSize: number }): string {
  return `<text x="${x}" y="${y}" font-family="${FONT}" font-size="${fontSize}">${escapeMarkup(text)}</text>`;
}

/** Replaces characters that XML does not allow; folder names can contain anything. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cs}\ufffe\uffff]/gu, "\ufffd");
}

function pngInBase64(bytes: Uint8Array, { channels, height, width }: ImageShape): string {
  const png = new PNG({ width, height });
  const plane = height * width;
  for (let i = 0; i < plane; i++) {
    const [red, green, blue] = [0, 1, 2].map((c) => bytes[i + (channels >= 3 ? c : 0) * plane]);
    png.data.set([red, green, blue, 255], 4 * i);
  }
  return PNG.sync.write(png).toString("base64");
}
