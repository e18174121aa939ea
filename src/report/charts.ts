/** Chart specifications in Vega-Lite: what is drawn, as plain JSON that other tools can open too. */

export type ChartSpec = Readonly<Record<string, unknown>>;

export interface Chart {
  /** Part of file names. */
  readonly name: string;
  readonly title: string;
  readonly spec: ChartSpec;
}

export interface Illustration {
  readonly charts: readonly Chart[];
  /** Tables and sentences in Markdown that belong to the charts. */
  readonly text: readonly string[];
}

/** A point of a curve; null is a gap. */
export interface Datum {
  readonly series: string;
  /** Where it is from: this run, or the paper. */
  readonly source: string;
  readonly x: number;
  readonly y: number | null;
  readonly low?: number;
  readonly high?: number;
}

export interface Axis {
  readonly title: string;
  readonly log?: boolean;
  readonly zero?: boolean;
}

export const OURS = "this run";

/** Column width: labels stay readable in a two-column paper. */
const WIDTH = 440;
const HEIGHT = 300;
export const FONT = "DejaVu Sans";

/** The look of all charts. */
const CONFIG = {
  font: FONT,
  background: "transparent",
  view: { stroke: "#bbb" },
  axis: {
    labelFontSize: 12,
    titleFontSize: 13,
    titleFontWeight: "normal",
    gridColor: "#ececec",
    labelColor: "#222",
    titleColor: "#222",
  },
  legend: {
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
    symbolStrokeWidth: 2.5,
    labelLimit: 300,
    titleLimit: 300,
  },
  title: { fontSize: 14, fontWeight: "normal", anchor: "start", offset: 8 },
  header: { labelFontSize: 12, titleFontSize: 12 },
} as const;

const SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json";

export interface CurvesOptions {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  /** Order of the series in the legend, and what it is headed with. */
  readonly series: readonly string[];
  readonly legend: string;
  /** Whether the series are steps of one quantity (batch sizes), which a ramp of colours shows, or unordered. */
  readonly ordered?: boolean;
  /** Marks at every point. */
  readonly points?: boolean;
  /** Colours by series, where they have a meaning of their own. */
  readonly colors?: readonly string[];
}

/** Lines as they are drawn, whatever the opacity of the marks that share the colour. */
const LEGEND = { symbolType: "stroke", symbolOpacity: 1, symbolStrokeWidth: 2.5 } as const;

/** From blue to red without yellow, which is not seen on white. */
const RAMP = ["#3b4cc0", "#5a8ee8", "#45a2a0", "#4d9a3a", "#d98a1c", "#d1495b", "#8c1c3a"];
const UNORDERED = ["#2b6cb0", "#d1495b", "#2f855a", "#b7791f", "#6b46c1", "#4a5568", "#0f766e"];

/** Curves with bands where there are several runs; curves of another source are dashed. */
export function curves(data: readonly Datum[], options: CurvesOptions): ChartSpec {
  const { title, x, y, series, legend, ordered = false, points = false, colors } = options;
  const sources = [...new Set(data.map(({ source }) => source))];
  const range = colors ?? (ordered ? spread(RAMP, series.length) : UNORDERED);
  const color = {
    field: "series",
    type: "nominal",
    scale: { domain: series, range },
    title: legend,
    sort: null,
    legend: LEGEND,
  };
  const dash = {
    field: "source",
    type: "nominal",
    scale: { domain: sources, range: sources.map(dashOf) },
    title: null,
  };
  const xAxis = channel("x", x);
  const yAxis = channel("y", y);
  const tooltip = [
    { field: "series", title: legend },
    { field: "source", title: "source" },
    { field: "x", type: "quantitative", title: x.title, format: ".5~g" },
    { field: "y", type: "quantitative", title: y.title, format: ".4~g" },
  ];
  const banded = data.some(
    ({ low, high, y: center }) => low !== undefined && (low !== center || high !== center),
  );
  const encoding = { x: xAxis, y: yAxis, color, ...(sources.length > 1 && { strokeDash: dash }) };
  return {
    $schema: SCHEMA,
    title,
    width: WIDTH,
    height: HEIGHT,
    data: { values: data },
    layer: [
      ...(banded
        ? [
            {
              transform: [{ filter: "isValid(datum.low)" }],
              mark: { type: "area", opacity: 0.18, clip: true },
              encoding: { x: xAxis, y: { ...yAxis, field: "low" }, y2: { field: "high" }, color },
            },
          ]
        : []),
      {
        params: [{ name: "zoom", select: "interval", bind: "scales" }],
        mark: { type: "line", strokeWidth: 1.8, invalid: "break-paths-show-path-domains", clip: true },
        encoding,
      },
      // A single point between two gaps has no line: marks show it, and carry the tooltip.
      {
        transform: [{ filter: "isValid(datum.y)" }],
        mark: {
          type: "point",
          filled: true,
          size: points ? 34 : 16,
          opacity: points ? 0.9 : 0.35,
          clip: true,
        },
        encoding: { x: xAxis, y: yAxis, color, tooltip },
      },
    ],
    config: CONFIG,
  };
}

export interface Dot {
  readonly group: string;
  readonly category: string;
  readonly source: string;
  readonly y: number;
  readonly low?: number;
  readonly high?: number;
}

/** Values by category, one small chart for each group: the columns of a table. */
export function dots(
  data: readonly Dot[],
  options: { title: string; y: Axis; categories: readonly string[]; groups: readonly string[] },
): ChartSpec {
  const { title, y, categories, groups } = options;
  const sources = [...new Set(data.map(({ source }) => source))].sort(
    (a, b) => Number(b === OURS) - Number(a === OURS),
  );
  // Words lie across each other unless they are tilted.
  const long = categories.some((name) => name.length > 6);
  const axis = { labelAngle: long ? -35 : 0, labelLimit: 220, labelOverlap: false };
  const x = { field: "category", type: "nominal", sort: categories, title: null, axis };
  const color = {
    field: "source",
    type: "nominal",
    scale: { domain: sources, range: UNORDERED },
    title: null,
    legend: { symbolOpacity: 1, symbolSize: 70 },
  };
  const tooltip = [
    { field: "category", title: "method" },
    { field: "source", title: "source" },
    { field: "y", type: "quantitative", title: y.title, format: ".4~g" },
  ];
  return {
    $schema: SCHEMA,
    title,
    data: { values: data },
    facet: { field: "group", type: "nominal", title: null, sort: groups },
    columns: Math.min(3, groups.length),
    resolve: { scale: { y: "independent" } },
    spec: {
      width: 60 * categories.length,
      height: 160,
      layer: [
        { mark: { type: "line", opacity: 0.4 }, encoding: { x, y: channel("y", y), color } },
        {
          transform: [{ filter: "isValid(datum.low)" }],
          mark: { type: "rule", strokeWidth: 2 },
          encoding: { x, y: { ...channel("y", y), field: "low" }, y2: { field: "high" }, color },
        },
        {
          mark: { type: "point", filled: true, size: 60, opacity: 1 },
          encoding: {
            x,
            y: channel("y", y),
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

function channel(field: "x" | "y", { title, log = false, zero = false }: Axis) {
  const scale = log ? { type: "log", nice: false } : { zero, nice: field === "y" };
  // Powers of ten on a logarithmic axis, short numbers elsewhere.
  return {
    field,
    type: "quantitative",
    title,
    scale,
    axis: { labelOverlap: true, ...(log && { format: "~g", tickCount: 6 }) },
  };
}

function dashOf(source: string): readonly number[] {
  return source === OURS ? [1, 0] : [5, 4];
}

function spread(colors: readonly string[], count: number): string[] {
  if (count <= 1) return [colors[0]!];
  return Array.from(
    { length: count },
    (_, i) => colors[Math.round((i * (colors.length - 1)) / (count - 1))]!,
  );
}
