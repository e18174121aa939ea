/** The three charts of the race. They are drawn at most once a frame, from the curves that exist by then. */
import uPlot from "uplot";
import { COLUMNS, type Column, columnTitle } from "../paper/columns.ts";
import { LineChart } from "./line-chart.ts";
import { METHOD_COLORS, METHOD_DASHES } from "./method-look.ts";
import type { Settings } from "./settings.ts";
import { CURVES, type Curve, type Track, type Tracks } from "./tracks.ts";

export type RaceTracks = Readonly<Partial<Record<Column, Tracks>>>;

interface ChartText {
  readonly title: string;
  readonly unit: string;
  readonly isLogarithmic: boolean;
  readonly most?: number;
}

const TEXTS: Readonly<Record<Curve, ChartText>> = {
  accuracy: { title: "Test accuracy, %", unit: "%", isLogarithmic: false, most: 100 },
  loss: { title: "Training loss, cross-entropy", unit: "", isLogarithmic: true },
  distance: { title: "Distance from the first weights, ‖w − w₀‖", unit: "", isLogarithmic: false },
};

const LINES = COLUMNS.map((column) => ({
  label: columnTitle(column),
  color: METHOD_COLORS[column],
  dash: METHOD_DASHES[column],
}));

export class RaceCharts {
  readonly #charts: readonly { readonly curve: Curve; readonly chart: LineChart }[];
  #axis: Settings["axis"];

  constructor(place: HTMLElement, axis: Settings["axis"]) {
    this.#axis = axis;
    this.#charts = CURVES.map((curve) => {
      const { title, ...y } = TEXTS[curve];
      const options = { title, x: horizontal(axis), y, lines: LINES, hasPoints: curve === "accuracy" };
      return { curve, chart: new LineChart(place, options) };
    });
  }

  /** Shows these curves in the next frame; they may have grown since they were last given. */
  show(tracks: RaceTracks, axis: Settings["axis"]): void {
    const isOther = axis !== this.#axis;
    this.#axis = axis;
    for (const { curve, chart } of this.#charts) {
      if (isOther) chart.change({ x: horizontal(axis) });
      chart.show(dataOf(tracks, curve, axis), inWords(tracks, curve));
    }
  }
}

function horizontal(axis: Settings["axis"]) {
  return { label: axis === "steps" ? "steps" : "images seen", isLogarithmic: true };
}

/** Columns in uPlot's format: all x, then the values of each method there. */
function dataOf(tracks: RaceTracks, curve: Curve, axis: Settings["axis"]): uPlot.AlignedData {
  const tables = COLUMNS.map((column): uPlot.AlignedData => {
    const track: Track = tracks[column]?.[curve] ?? { steps: [], samples: [], values: [] };
    // NaN is a gap, and 0 has no place on a logarithmic axis.
    const isShown = (value: number) => Number.isFinite(value) && (value > 0 || !TEXTS[curve].isLogarithmic);
    return [[...track[axis]], track.values.map((value) => (isShown(value) ? value : null))];
  });
  return uPlot.join(tables);
}

/** A description of the chart for those who cannot see it: the current value of each curve. */
function inWords(tracks: RaceTracks, curve: Curve): string {
  const { title, unit } = TEXTS[curve];
  const last = COLUMNS.flatMap((column) => {
    const track = tracks[column]?.[curve];
    const value = track?.values.at(-1);
    if (track === undefined || value === undefined) return [];
    return [
      `${columnTitle(column)} ${Number(value.toPrecision(4))}${unit} after ${track.steps.at(-1)} steps`,
    ];
  });
  return `${title}. ${last.length === 0 ? "No curves yet." : last.join("; ")}`;
}
