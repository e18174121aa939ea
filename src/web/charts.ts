/** The three charts of the race. They are drawn at most once a frame, from whatever curves there are by then. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { COLUMNS, type Column, columnTitle } from "../paper/columns.ts";
import { element, styleValue } from "./element.ts";
import { METHOD_COLORS, METHOD_DASHES } from "./method-look.ts";
import type { Settings } from "./settings.ts";
import { CURVES, type Curve, type Track, type Tracks } from "./tracks.ts";

export type RaceTracks = Readonly<Partial<Record<Column, Tracks>>>;

interface ChartText {
  readonly title: string;
  readonly unit: string;
  readonly hasLogarithmicValues: boolean;
}

const TEXTS: Readonly<Record<Curve, ChartText>> = {
  accuracy: { title: "Test accuracy, %", unit: "%", hasLogarithmicValues: false },
  loss: { title: "Training loss, cross-entropy", unit: "", hasLogarithmicValues: true },
  distance: { title: "Distance from the first weights, ‖w − w₀‖", unit: "", hasLogarithmicValues: false },
};

/** Pixels. */
const HEIGHT = 260;
const AXIS_WIDTH = 52;
/** uPlot's name of a logarithmic scale. */
const LOGARITHMIC = 3;

interface Chart {
  readonly curve: Curve;
  readonly figure: HTMLElement;
  plot: uPlot;
}

export class RaceCharts {
  #charts: readonly Chart[];
  #tracks: RaceTracks = {};
  #axis: Settings["axis"];
  #isScheduled = false;

  constructor(place: HTMLElement, axis: Settings["axis"]) {
    this.#axis = axis;
    this.#charts = CURVES.map((curve) => {
      const drawing = element("div", { role: "img" });
      const figure = element("div", { class: "chart" }, element("h2", {}, TEXTS[curve].title), drawing);
      place.append(figure);
      return { curve, figure: drawing, plot: plotOf(curve, axis, drawing) };
    });
    new ResizeObserver(() => this.#resize()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#rebuild());
  }

  /** Shows these curves in the next frame; they may have grown since they were last given. */
  show(tracks: RaceTracks, axis: Settings["axis"]): void {
    this.#tracks = tracks;
    if (axis !== this.#axis) {
      this.#axis = axis;
      this.#rebuild();
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      for (const { curve, figure, plot } of this.#charts) {
        plot.setData(dataOf(this.#tracks, curve, this.#axis));
        figure.setAttribute("aria-label", inWords(this.#tracks, curve));
      }
    });
  }

  #resize(): void {
    for (const { figure, plot } of this.#charts) plot.setSize({ width: figure.clientWidth, height: HEIGHT });
  }

  #rebuild(): void {
    for (const chart of this.#charts) {
      chart.plot.destroy();
      chart.plot = plotOf(chart.curve, this.#axis, chart.figure);
    }
    this.#schedule();
  }
}

function plotOf(curve: Curve, axis: Settings["axis"], place: HTMLElement): uPlot {
  const lines = {
    stroke: styleValue("--text"),
    grid: { stroke: styleValue("--grid") },
    ticks: { stroke: styleValue("--grid") },
  };
  const { hasLogarithmicValues } = TEXTS[curve];
  return new uPlot(
    {
      width: Math.max(place.clientWidth, 200),
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      scales: {
        x: { time: false, distr: LOGARITHMIC },
        y: { distr: hasLogarithmicValues ? LOGARITHMIC : 1 },
      },
      axes: [
        {
          ...lines,
          label: axis === "steps" ? "steps" : "images seen",
          labelSize: 20,
          size: 34,
          values: powers,
        },
        {
          ...lines,
          size: AXIS_WIDTH,
          values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : short(tick))),
        },
      ],
      series: [
        {},
        ...COLUMNS.map((column) => ({
          label: columnTitle(column),
          stroke: styleValue(METHOD_COLORS[column]),
          width: 2,
          dash: [...METHOD_DASHES[column]],
          spanGaps: true,
          points: { show: curve === "accuracy", size: 5 },
        })),
      ],
    },
    dataOf({}, curve, axis),
    place,
  );
}

/** Marks of a logarithmic axis: powers of ten alone. */
function powers(_: uPlot, ticks: (number | null)[]): string[] {
  return ticks.map((tick) => (tick !== null && Number.isInteger(Math.log10(tick)) ? short(tick) : ""));
}

function short(value: number): string {
  return value >= 1e6
    ? `${value / 1e6} M`
    : value >= 1e4
      ? `${value / 1e3} k`
      : String(Number(value.toPrecision(3)));
}

/** Columns as uPlot has them: all places, then the values of each method there. */
function dataOf(tracks: RaceTracks, curve: Curve, axis: Settings["axis"]): uPlot.AlignedData {
  const tables = COLUMNS.map((column): uPlot.AlignedData => {
    const track: Track = tracks[column]?.[curve] ?? { steps: [], samples: [], values: [] };
    // A NaN is a gap, and a logarithm has no place for 0.
    const isShown = (value: number) =>
      Number.isFinite(value) && (value > 0 || !TEXTS[curve].hasLogarithmicValues);
    return [[...track[axis]], track.values.map((value) => (isShown(value) ? value : null))];
  });
  return uPlot.join(tables);
}

/** The chart for those who cannot see it: where each curve is now. */
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
