/** Chart specifications in Vega-Lite: plain JSON that other tools can also open. */

import { FONT } from "./svg.ts";

export type ChartSpec = Readonly<Record<string, unknown>>;

export interface Chart {
  /** Part of file names. */
  readonly name: string;
  readonly title: string;
  readonly spec: ChartSpec;
  /** What a reader must know: bands, smoothing, curves other than measurements. */
  readonly caption: string;
}

export interface Illustration {
  readonly charts: readonly Chart[];
  /** Markdown tables and sentences that accompany the charts. */
  readonly text: readonly string[];
}

/** A point of a curve; null is a gap. */
export interface Datum {
  readonly series: string;
  /** Its origin: these runs, a fit to them, or the paper. */
  readonly source: string;
  readonly x: number;
  readonly y: number | null;
  readonly low?: number;
  readonly high?: number;
}

export interface Axis {
  readonly title: string;
  readonly log?: boolean;
  /** Whether the axis starts at 0, without room below. */
  readonly zero?: boolean;
  /** The largest possible value, e.g. 100 %; the axis does not go beyond it. */
  readonly most?: number;
  /** Positions of labels, to replace those that the values suggest. */
  readonly ticks?: readonly number[];
}

export const OURS = "this run";
/** Series that are computed, not measured; they have no points. */
export const COMPUTED = "fit";

/** Column width, so that labels are readable in a two-column paper. */
const WIDTH = 440;
const HEIGHT = 300;

/** The look of all charts. */
export const CONFIG = {
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
    // 0: names are not cut.
    labelLimit: 0,
    titleLimit: 0,
  },
  title: { fontSize: 14, fontWeight: "normal", anchor: "start", offset: 8 },
  header: { labelFontSize: 12, titleFontSize: 12 },
} as const;

export const SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json";

export interface CurvesOptions {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  /** Order of the series in the legend, and its title. */
  readonly series: readonly string[];
  readonly legend: string;
  /** Whether the series are values of one quantity (batch sizes), shown by a color ramp, or unordered. */
  readonly ordered?: boolean;
  /** Marks at every point. */
  readonly points?: boolean;
  /** Dashes of each series, if they and not the source distinguish lines. */
  readonly dashes?: readonly (readonly number[])[];
}

/** Opaque lines in the legend, whatever the opacity of marks with the same color. */
const LEGEND = { symbolType: "stroke", symbolOpacity: 1, symbolStrokeWidth: 2.5, symbolSize: 260 } as const;

/** From blue to red without yellow, which is invisible on white. */
const RAMP = ["#3b4cc0", "#5a8ee8", "#45a2a0", "#4d9a3a", "#d98a1c", "#d1495b", "#8c1c3a"];
export const UNORDERED = ["#2b6cb0", "#d1495b", "#2f855a", "#b7791f", "#6b46c1", "#4a5568", "#0f766e"];

export const SOLID = [1, 0] as const;
/** Dashes in pixels: for curves of another source, and for series if there are more of them than colors. */
export const DASHES = [SOLID, [6, 4], [1.5, 3], [9, 3, 2, 3]] as const;

/** Number of points above which marks at each would merge into a solid line. */
const CROWDED = 150;

/** Curves, with bands or error bars if there are several runs. Other sources and computed series are dashed. */
export function curves(data: readonly Datum[], options: CurvesOptions): ChartSpec {
  const { title, x, y, series, points = false } = options;
  const sources = [...new Set(data.map(({ source }) => source))];
  const { color, dash, dashedSeries } = seriesScales(sources, options);
  const extent = (of: (datum: Datum) => readonly (number | null | undefined)[]) => data.flatMap(of);
  const xs = extent((datum) => [datum.x]);
  const ys = extent((datum) => [datum.y]);
  const place = { x: channel("x", x, xs), y: channel("y", y, ys), color };
  // A good fit would be hidden by the line that it fits.
  const fitted = !dashedSeries && sources.includes(COMPUTED);
  const paler = { condition: { test: `datum.source === ${JSON.stringify(OURS)}`, value: 0.4 }, value: 1 };
  const encoding = {
    ...place,
    ...((dashedSeries || sources.length > 1) && { strokeDash: dash }),
    ...(fitted && { opacity: paler }),
  };
  const spreads = data.some(
    ({ low, high, y: center }) => low !== undefined && (low !== center || high !== center),
  );
  const crowded = data.length > CROWDED * series.length;
  return {
    $schema: SCHEMA,
    title,
    width: WIDTH,
    height: HEIGHT,
    data: { values: y.log ? aboveZero(data) : data },
    layer: [
      ...(spreads ? [spreadLayer(place, points)] : []),
      {
        params: [{ name: "zoom", select: "interval", bind: "scales" }],
        mark: { type: "line", strokeWidth: 1.8, invalid: "break-paths-show-path-domains", clip: true },
        encoding,
      },
      markLayer({ ...place, tooltip: tooltipOf(options) }, points, crowded),
    ],
    config: CONFIG,
  };
}

/** Colors of the series, and dashes: for the series if they need them, else for the sources. */
function seriesScales(
  sources: readonly string[],
  { series, legend, ordered = false, dashes: given }: CurvesOptions,
) {
  const shades = ordered ? spread(RAMP, series.length) : UNORDERED;
  const many = series.length > shades.length;
  const dashOfSeries = (_: string, i: number) => DASHES[Math.floor(i / shades.length) % DASHES.length]!;
  const dashes = given ?? (many ? series.map(dashOfSeries) : null);
  const bySeries = { field: "series", type: "nominal", title: legend, sort: null, legend: LEGEND };
  const range = series.map((_, i) => shades[i % shades.length]!);
  const color = { ...bySeries, scale: { domain: series, range } };
  const bySource = {
    field: "source",
    type: "nominal",
    scale: { domain: sources, range: sources.map(dashOf) },
    title: null,
    legend: { symbolType: "stroke", symbolStrokeWidth: 2, symbolSize: 260 },
  };
  const dash = dashes ? { ...bySeries, scale: { domain: series, range: dashes } } : bySource;
  return { color, dash, dashedSeries: dashes !== null };
}

function tooltipOf({ x, y, legend }: CurvesOptions) {
  return [
    { field: "series", title: legend },
    { field: "source", title: "source" },
    { field: "x", type: "quantitative", title: x.title, format: ".5~g" },
    { field: "y", type: "quantitative", title: y.title, format: ".4~g" },
  ];
}

/** The spread over runs: a band, or bars for a few marked points, since a band would suggest values between them. */
function spreadLayer({ x, y, color }: { x: object; y: object; color: object }, bars: boolean) {
  return {
    transform: [{ filter: "isValid(datum.low)" }],
    mark: bars ? { type: "rule", strokeWidth: 1.5, clip: true } : { type: "area", opacity: 0.18, clip: true },
    encoding: { x, y: { ...y, field: "low" }, y2: { field: "high" }, color },
  };
}

/** Marks at every point, since a single one between two gaps has no line. They have the tooltip. */
function markLayer(encoding: object, points: boolean, crowded: boolean) {
  return {
    transform: [{ filter: `isValid(datum.y) && datum.source !== ${JSON.stringify(COMPUTED)}` }],
    mark: {
      type: "point",
      filled: true,
      size: points ? 34 : crowded ? 3 : 16,
      opacity: points ? 0.9 : 0.35,
      clip: true,
    },
    encoding,
  };
}

/** On a logarithmic axis the mean minus a larger deviation has no place; the band then ends at the lowest curve. */
function aboveZero(data: readonly Datum[]): Datum[] {
  const lowest = data.reduce((least, { y }) => (y !== null && y > 0 ? Math.min(least, y) : least), Infinity);
  return data.map((datum) =>
    datum.low === undefined ? datum : { ...datum, low: Math.max(datum.low, lowest) },
  );
}

/** Pixels between the frame and the outermost marks, so that none is clipped. */
const PADDING = 8;

/** @param values all values along the axis */
export function channel(
  field: "x" | "y",
  { title, log = false, zero = false, most, ticks }: Axis,
  values: readonly (number | null | undefined)[],
) {
  const scale = log
    ? { type: "log", nice: false, padding: PADDING }
    : {
        zero,
        nice: field === "y",
        ...(zero ? { domainMin: 0 } : { padding: PADDING }),
        ...upTo(most, values),
      };
  return {
    field,
    type: "quantitative",
    title,
    scale,
    axis: { labelOverlap: true, ...(log && { format: "~g", values: ticks ?? logarithmicTicks(values) }) },
  };
}

/** The domain of an axis whose margin above the values would exceed the largest possible value; otherwise nothing. */
function upTo(most: number | undefined, values: readonly (number | null | undefined)[]) {
  const present = values.filter((value): value is number => value != null);
  if (most === undefined || present.length === 0) return {};
  const [low, high] = [Math.min(...present), Math.max(...present)];
  const room = high - low || 1;
  // A round number above the values is at most a quarter of their range away.
  return high + room / 4 < most ? {} : { domain: [low - room / 20, most], padding: 0, nice: false };
}

/** 1, 2, 5 of each decade, or only powers of ten if that would be too many labels for the width of a column. */
export function logarithmicTicks(values: readonly (number | null | undefined)[]): number[] {
  const positive = values.filter((value): value is number => value != null && value > 0);
  if (positive.length === 0) return [];
  const [low, high] = [Math.min(...positive), Math.max(...positive)];
  const mantissas = high / low > 10 ** 3.5 ? [1] : high / low > 10 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const decades = Array.from(
    { length: Math.ceil(Math.log10(high)) - Math.floor(Math.log10(low)) + 1 },
    (_, i) => Math.floor(Math.log10(low)) + i,
  );
  // Through text, to avoid 0.30000000000000004 on an axis.
  return decades.flatMap((decade) => mantissas.map((mantissa) => Number(`${mantissa}e${decade}`)));
}

function dashOf(source: string): readonly number[] {
  return source === OURS ? SOLID : source === COMPUTED ? DASHES[2] : DASHES[1];
}

function spread(colors: readonly string[], count: number): readonly string[] {
  if (count <= 1 || count > colors.length) return colors;
  return Array.from(
    { length: count },
    (_, i) => colors[Math.round((i * (colors.length - 1)) / (count - 1))]!,
  );
}
