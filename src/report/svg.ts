/** Renders SVG with resvg and a bundled font, so that pictures look the same on a machine without fonts. */
import type { Resvg, ResvgRenderOptions } from "@resvg/resvg-js";
import { packageFile } from "../storage/package-file.ts";

export const FONT = "DejaVu Sans";
const FONT_FILES = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"];

/** Opens a drawing, which can be measured and rendered. The library is loaded with the first one. */
export async function openSvg(svg: string, options: ResvgRenderOptions = {}): Promise<Resvg> {
  const { Resvg } = await import("@resvg/resvg-js");
  // Without a font file the renderer silently omits all text.
  const fontFiles = FONT_FILES.map((file) => packageFile("dejavu-fonts-ttf", `ttf/${file}`));
  return new Resvg(svg, { ...options, font: { fontFiles, loadSystemFonts: false, defaultFontFamily: FONT } });
}
