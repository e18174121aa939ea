/** Renders chart specifications to SVG and PNG, without a browser. The libraries are loaded with the first chart. */

import { visible } from "../support/visible.ts";
import type { ChartSpec } from "./charts.ts";
import { openSvg } from "./svg.ts";

/** A chart compiled for Vega, as a page embeds it. */
export async function compileChart(spec: ChartSpec): Promise<object> {
  const { compile } = await import("vega-lite");
  return compile(drawable(spec) as unknown as Parameters<typeof compile>[0]).spec;
}

/**
 * The same, with texts that can be drawn. XML has no control characters, and Vega looks up texts as properties of its
 * objects: a name that every object has, such as "constructor", gets an invisible suffix (a word joiner).
 */
function drawable(value: unknown): unknown {
  if (typeof value === "string") return value in Object.prototype ? `${value}\u2060` : visible(value);
  if (Array.isArray(value)) return value.map(drawable);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, drawable(inner)]));
}

export async function chartSvg(spec: ChartSpec): Promise<string> {
  const vega = await import("vega");
  const view = new vega.View(vega.parse((await compileChart(spec)) as Parameters<typeof vega.parse>[0]), {
    renderer: "none",
  });
  try {
    return await cropped(await view.toSVG());
  } finally {
    view.finalize();
  }
}

/** Pixels of the PNG per unit of the drawing, sharp on a high-density screen. */
const ZOOM = 2;
/** Margin around the drawing, units. */
const MARGIN = 6;

export async function svgToPng(svg: string): Promise<Uint8Array> {
  const drawing = await openSvg(svg, { fitTo: { mode: "zoom", value: ZOOM }, background: "white" });
  return drawing.render().asPng();
}

/** Without a browser Vega can only guess the width of texts. It leaves too much room for some, and clips others. */
async function cropped(svg: string): Promise<string> {
  // Backgrounds without a stroke are invisible, and have the guessed width.
  const seen = svg.replaceAll(/<path class="background"(?![^>]*stroke)[^>]*>(<\/path>)?/g, "");
  const drawing = await openSvg(seen);
  // Includes the box of all texts, which innerBBox omits; clipped parts below the frame do not count.
  const box = drawing.getBBox();
  if (!box) return svg;
  const width = Math.ceil(box.x + box.width) + MARGIN;
  const height = Math.min(drawing.height, Math.ceil(box.y + box.height) + MARGIN);
  return svg.replace(
    /width="[\d.]+" height="[\d.]+" viewBox="0 0 [\d.]+ [\d.]+"/,
    `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`,
  );
}
