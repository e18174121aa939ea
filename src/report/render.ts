/** Chart specifications to SVG and PNG, without a browser. The libraries are loaded when the first chart is drawn. */
import { packageFile } from "../storage/package-file.ts";
import { type ChartSpec, FONT } from "./charts.ts";

/** A chart compiled for Vega, as a page embeds it. */
export async function compileChart(spec: ChartSpec): Promise<object> {
  const { compile } = await import("vega-lite");
  return compile(spec as unknown as Parameters<typeof compile>[0]).spec;
}

export async function chartSvg(spec: ChartSpec): Promise<string> {
  const vega = await import("vega");
  const view = new vega.View(vega.parse((await compileChart(spec)) as Parameters<typeof vega.parse>[0]), {
    renderer: "none",
  });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** Pixels of the PNG for each unit of the drawing: sharp on a dense screen. */
const ZOOM = 2;

export async function svgToPng(svg: string): Promise<Uint8Array> {
  const { Resvg } = await import("@resvg/resvg-js");
  // Without a font file of its own the renderer leaves out all text and says nothing.
  const fontFiles = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"].map((file) =>
    packageFile("dejavu-fonts-ttf", `ttf/${file}`),
  );
  const options = {
    fitTo: { mode: "zoom" as const, value: ZOOM },
    font: { fontFiles, loadSystemFonts: false, defaultFontFamily: FONT },
    background: "white",
  };
  return new Resvg(svg, options).render().asPng();
}
