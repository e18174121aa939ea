/**
 * The figure of `bench gbn`: above, the time of a layer relative to the fused kernels with the whole batch as one ghost; below, what
 * all norms of a network cost in a training step. Sized for one column of a paper.
 */
import type { AdapterFacts } from "../gpu/adapter.ts";
import { type ChartSpec, UNORDERED } from "../report/charts.ts";
import { COPY, type GhostRow, shapeText } from "./ghost-cost.ts";
import { adapterLine } from "./output.ts";

/** Number of a network's norms by shape: ResNet44 has 15 in each of three stages, F1 five of 512 units. */
const NETWORKS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  ResNet44: { "16×32×32": 15, "32×16×16": 15, "64×8×8": 15 },
  F1: { "512×1×1": 5 },
};

const PANEL = { width: 150, height: 90 };
const VARIANTS = ["fused", "unfused", "sequential"];

/** The Vega-Lite specification, including data. */
export function ghostFigure(
  adapter: Pick<AdapterFacts, "name" | "software">,
  rows: readonly GhostRow[],
): ChartSpec {
  const passes = rows.filter(({ variant }) => variant !== COPY);
  const steps = stepTimes(passes);
  const parts: object[] = [layerPanels(passes)];
  if (steps.length > 0) parts.push(stepPanels(steps));
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: {
      text: `Cost of ghost batch norm, batch of ${rows[0]?.batch ?? 0}`,
      subtitle: [
        ...adapterLine(adapter).split("; "),
        "points: medians, bars: quartiles; dashed: the roofline's model",
      ],
    },
    vconcat: parts,
    resolve: { scale: { x: "independent", y: "independent" } },
    config: { background: "white", legend: { orient: "top", title: null } },
  };
}

/** A row of panels per shape, forward and backward side by side. */
function layerPanels(rows: readonly GhostRow[]): object {
  const values = rows.map((row) => {
    const { ghostSize, variant, direction, ms, modelMs } = row;
    const whole = rows.find(
      (one) =>
        one.variant === "fused" &&
        one.direction === direction &&
        shapeText(one) === shapeText(row) &&
        one.ghostSize === one.batch,
    )!.ms.median;
    const relative = { measured: ms.median / whole, low: ms.low / whole, high: ms.high / whole };
    return { shape: shapeText(row), ghostSize, variant, direction, ...relative, model: modelMs / whole };
  });
  const shapes = [...new Set(values.map(({ shape }) => shape))];
  return {
    data: { values },
    facet: {
      column: { field: "direction", sort: ["forward", "backward"], header: { title: null } },
      row: { field: "shape", sort: shapes, header: { title: "time / time of the whole batch, fused" } },
    },
    spec: { ...PANEL, layer: layers(values, null) },
  };
}

interface StepTime {
  readonly network: string;
  readonly ghostSize: number;
  readonly variant: string;
  readonly measured: number;
  readonly low: number;
  readonly high: number;
  readonly model: number;
}

/** The sum over a network's norms, forward and backward, ms, for networks whose shapes were all measured. */
function stepTimes(rows: readonly GhostRow[]): StepTime[] {
  return Object.entries(NETWORKS).flatMap(([network, norms]) => {
    const own = rows.filter((row) => norms[shapeText(row)] !== undefined);
    if (new Set(own.map(shapeText)).size < Object.keys(norms).length) return [];
    const places = new Set(own.map(({ ghostSize, variant }) => `${ghostSize} ${variant}`));
    return [...places].map((place) => {
      const part = own.filter(({ ghostSize, variant }) => `${ghostSize} ${variant}` === place);
      const sum = (of: (row: GhostRow) => number) =>
        part.reduce((total, row) => total + norms[shapeText(row)]! * of(row), 0);
      return {
        ...{ network, ghostSize: part[0]!.ghostSize, variant: part[0]!.variant },
        ...{ measured: sum(({ ms }) => ms.median), low: sum(({ ms }) => ms.low) },
        ...{ high: sum(({ ms }) => ms.high), model: sum(({ modelMs }) => modelMs) },
      };
    });
  });
}

/** Side by side, each with its own scale, because the networks differ by factors. */
function stepPanels(values: readonly StepTime[]): object {
  const networks = [...new Set(values.map(({ network }) => network))];
  const panels = networks.map((network, place) => {
    const own = values.filter((one) => one.network === network);
    const title = { text: `${network}, all norms of a step`, fontSize: 10, fontWeight: "normal" };
    return { data: { values: own }, ...PANEL, title, layer: layers(own, place === 0 ? "ms per step" : null) };
  });
  return { hconcat: panels };
}

interface Point {
  readonly measured: number;
  readonly model: number;
}

/** A scale that contains all points, with ticks at powers of 2, or of a larger number if those would be crowded. */
function scaleOf(points: readonly Point[]) {
  const all = points.flatMap(({ measured, model }) => [measured, model]);
  const [low, high] = [Math.min(...all) / MARGIN, Math.max(...all) * MARGIN];
  const ticksOf = (base: number) => {
    const [first, last] = [low, high].map((value) => Math.log(value) / Math.log(base)) as [number, number];
    const count = Math.max(0, Math.floor(last) - Math.ceil(first) + 1);
    return Array.from({ length: count }, (_, i) => base ** (Math.ceil(first) + i));
  };
  const ticks = [2, 4, 10, 100].map(ticksOf).find(({ length }) => length <= MOST_TICKS) ?? [];
  return { scale: { type: "log", domain: [low, high], nice: false }, ticks };
}

/** Margin around the points, as a factor, and the most ticks of an axis. */
const MARGIN = 1.25;
const MOST_TICKS = 5;

/** Error bars, not bands, so that crossing curves all remain visible. */
function layers(values: readonly Point[], title: string | null): object[] {
  const { scale, ticks } = scaleOf(values);
  const x = {
    field: "ghostSize",
    type: "quantitative",
    scale: { type: "log", base: 2 },
    axis: { title: "ghost size, images", grid: false, labelOverlap: true },
  };
  const y = (field: string) => ({
    field,
    type: "quantitative",
    scale,
    axis: { title, values: ticks, format: "~r" },
  });
  const color = {
    field: "variant",
    type: "nominal",
    scale: { domain: VARIANTS, range: UNORDERED.slice(0, VARIANTS.length) },
  };
  const shape = { field: "variant", type: "nominal", scale: { domain: VARIANTS } };
  return [
    {
      mark: { type: "line", strokeDash: [3, 3], strokeWidth: 1, opacity: 0.7 },
      encoding: { x, y: y("model"), color },
    },
    {
      mark: { type: "rule", clip: true, strokeWidth: 1.5 },
      encoding: { x, y: y("low"), y2: { field: "high" }, color },
    },
    { mark: { type: "line", clip: true, strokeWidth: 1.2 }, encoding: { x, y: y("measured"), color } },
    {
      mark: { type: "point", filled: true, size: 24, opacity: 1 },
      encoding: { x, y: y("measured"), color, shape },
    },
  ];
}
