/** SVG drawings by resvg, in a font of the project's own: a picture looks the same on a machine without fonts. */
import type { Resvg, ResvgRenderOptions } from "@resvg/resvg-js";
import { packageFile } from "../storage/package-file.ts";

export const FONT = "DejaVu Sans";
const FONT_FILES = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"];

/** A drawing that can be measured and rendered. The library is loaded with the first one. */
export async function openSvg(svg: string, options: ResvgRenderOptions = {}): Promise<Resvg> {
  const { Resvg } = await import("@resvg/resvg-js");
  // Without a font file of its own the renderer leaves out all text and says nothing.
  const fontFiles = FONT_FILES.map((file) => packageFile("dejavu-fonts-ttf", `ttf/${file}`));
  return new Resvg(svg, { ...options, font: { fontFiles, loadSystemFonts: false, defaultFontFamily: FONT } });
}
