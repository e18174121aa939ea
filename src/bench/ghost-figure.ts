/** The figure of `bench gbn`: time per element over the ghost size, a panel for each shape, a curve for each variant. */
import type { AdapterFacts } from "../gpu/adapter.ts";
import type { ChartSpec } from "../report/charts.ts";
import type { GhostRow } from "./ghost-cost.ts";
import { adapterLine } from "./output.ts";

/** The Vega-Lite specification, data included. */
export function ghostFigure(
  adapter: Pick<AdapterFacts, "name" | "software">,
  rows: readonly GhostRow[],
): ChartSpec {
  const values = rows.map(
    ({ shape, batch, ghostSize, variant, direction, ms, modelMs, bytes, bytesPerElement }) => {
      const elements = bytes / bytesPerElement;
      const nanoseconds = (time: number) => (1e6 * time) / elements;
      return {
        shape: `${shape}, batch ${batch}`,
        ghostSize,
        variant,
        direction,
        measured: nanoseconds(ms.median),
        low: nanoseconds(ms.low),
        high: nanoseconds(ms.high),
        model: nanoseconds(modelMs),
      };
    },
  );
  const x = {
    field: "ghostSize",
    type: "quantitative",
    scale: { type: "log", base: 2 },
    title: "ghost size, images",
  };
  const y = (field: string) => ({
    field,
    type: "quantitative",
    scale: { type: "log" },
    title: "ns per element",
  });
  const color = { field: "variant", type: "nominal", title: "variant" };
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: {
      text: "Ghost batch norm: time over ghost size",
      subtitle: `${adapterLine(adapter)}; dashed: the roofline's model`,
    },
    data: { values },
    facet: {
      row: { field: "direction", title: null, sort: ["forward", "backward"] },
      column: { field: "shape", title: null, sort: [...new Set(values.map(({ shape }) => shape))] },
    },
    spec: {
      width: 220,
      height: 180,
      layer: [
        { mark: { type: "errorband" }, encoding: { x, y: y("low"), y2: { field: "high" }, color } },
        { mark: { type: "line", point: true }, encoding: { x, y: y("measured"), color } },
        { mark: { type: "line", strokeDash: [4, 3], opacity: 0.6 }, encoding: { x, y: y("model"), color } },
      ],
    },
    config: { background: "white" },
  };
}
