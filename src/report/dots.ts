/** Values by category, one small chart per group: the columns of a table. */
import { type Axis, type ChartSpec, CONFIG, channel, OURS, SCHEMA, UNORDERED } from "./charts.ts";

export interface Dot {
  readonly group: string;
  readonly category: string;
  readonly source: string;
  readonly y: number;
  readonly low?: number;
  readonly high?: number;
}

/** Categories are unrelated methods, so no line joins their values. */
export function dots(
  data: readonly Dot[],
  options: { title: string; y: Axis; categories: readonly string[]; groups: readonly string[] },
): ChartSpec {
  const { title, y, categories, groups } = options;
  const sources = [...new Set(data.map(({ source }) => source))].sort(
    (a, b) => Number(b === OURS) - Number(a === OURS),
  );
  // Labels would overlap unless they are tilted.
  const long = categories.some((name) => name.length > 6);
  const axis = { labelAngle: long ? -35 : 0, labelLimit: 220, labelOverlap: false };
  const x = { field: "category", type: "nominal", sort: categories, title: null, axis };
  const color = {
    field: "source",
    type: "nominal",
    scale: { domain: sources, range: UNORDERED },
    title: null,
    legend: { symbolOpacity: 1, symbolSize: 70, orient: "top", direction: "vertical" },
  };
  const tooltip = [
    { field: "category", title: "method" },
    { field: "source", title: "source" },
    { field: "y", type: "quantitative", title: y.title, format: ".4~g" },
  ];
  const value = channel("y", y, []);
  return {
    $schema: SCHEMA,
    title,
    data: { values: data },
    facet: { field: "group", type: "nominal", title: null, sort: groups },
    columns: Math.min(2, groups.length),
    // Each has its own axis, since how many fit side by side depends on the page.
    resolve: { scale: { y: "independent" }, axis: { x: "independent" } },
    spec: {
      width: Math.max(groups.length === 1 ? 330 : 200, 46 * categories.length),
      height: 170,
      layer: [
        {
          transform: [{ filter: "isValid(datum.low)" }],
          mark: { type: "rule", strokeWidth: 2 },
          encoding: { x, y: { ...value, field: "low" }, y2: { field: "high" }, color },
        },
        {
          mark: { type: "point", filled: true, size: 60, opacity: 1 },
          encoding: {
            x,
            y: value,
            color,
            shape: { field: "source", type: "nominal", title: null },
            tooltip,
          },
        },
      ],
    },
    config: CONFIG,
  };
}
