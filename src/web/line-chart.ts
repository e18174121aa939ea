/** Curves over one axis in the page's colors, drawn by uPlot at most once a frame: the charts of the race and of `watch`. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { element, styleValue } from "./element.ts";
import { labelledTicks, logarithmicTicks } from "./log-ticks.ts";

export interface Line {
  readonly label: string;
  /** A color, or the variable of the style sheet that holds one. */
  readonly color: string;
  /** Pixels of line and gap; none for a whole line. */
  readonly dash?: readonly number[];
}

export interface LineChartOptions {
  readonly title: string;
  readonly x: { readonly label: string; readonly isLogarithmic: boolean };
  readonly y: {
    readonly isLogarithmic?: boolean;
    /** The largest possible value, beyond which the axis never goes. */
    readonly most?: number;
  };
  readonly lines: readonly Line[];
  /** Marks at every value. */
  readonly hasPoints?: boolean;
  /** Charts with the same key show the cursor at the same place. */
  readonly cursorKey?: string;
  /** Receives the position in the data under the cursor; null once it has left. */
  readonly onCursor?: (index: number | null) => void;
}

/** Pixels. */
const HEIGHT = 260;
const AXIS_WIDTH = 52;
/** uPlot's names of scales. */
const LINEAR = 1;
const LOGARITHMIC = 3;
/** Share of the range of values that is left free above and below the curves. */
const FREE = 0.08;

export class LineChart {
  readonly #drawing: HTMLElement;
  #options: LineChartOptions;
  #plot: uPlot;
  #data: uPlot.AlignedData;
  #isScheduled = false;

  constructor(place: HTMLElement, options: LineChartOptions) {
    this.#options = options;
    this.#drawing = element("div", { role: "img" });
    place.append(element("div", { class: "chart" }, element("h2", {}, options.title), this.#drawing));
    this.#data = [[], ...options.lines.map(() => [])];
    this.#plot = plotOf(options, this.#data, this.#drawing);
    new ResizeObserver(() => this.#resize()).observe(this.#drawing);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.change({}));
  }

  /**
   * Shows these columns in the next frame: places, then the values of each line there; null is a gap.
   * @param words a description of the chart for those who cannot see it
   */
  show(data: uPlot.AlignedData, words: string): void {
    this.#data = data;
    this.#drawing.setAttribute("aria-label", words);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      this.#plot.setData(this.#data);
    });
  }

  /** Draws again with other options; data for as many lines must follow. */
  change(options: Partial<LineChartOptions>): void {
    this.#options = { ...this.#options, ...options };
    const fits = this.#data.length === this.#options.lines.length + 1;
    if (!fits) this.#data = [[], ...this.#options.lines.map(() => [])];
    this.#plot.destroy();
    this.#plot = plotOf(this.#options, this.#data, this.#drawing);
  }

  #resize(): void {
    const width = this.#drawing.clientWidth;
    if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }
}

function plotOf(options: LineChartOptions, data: uPlot.AlignedData, place: HTMLElement): uPlot {
  const { x, y, lines, hasPoints = false, cursorKey, onCursor } = options;
  const grid = { stroke: styleValue("--grid"), width: 1 };
  const look = { stroke: styleValue("--text"), grid, ticks: grid };
  const filter = (_: uPlot, ticks: number[]) => labelledTicks(ticks);
  const logarithmic = {
    splits: (_: uPlot, __: number, low: number, high: number) => logarithmicTicks(low, high),
    filter,
    grid: { ...grid, filter },
  };
  return new uPlot(
    {
      width: Math.max(place.clientWidth, 200),
      height: HEIGHT,
      legend: { show: false },
      cursor: {
        drag: { x: false, y: false },
        ...(cursorKey !== undefined && { sync: { key: cursorKey } }),
      },
      scales: {
        x: {
          time: false,
          distr: x.isLogarithmic ? LOGARITHMIC : LINEAR,
          range: (_, low, high) => extent(low, high),
        },
        y: {
          distr: y.isLogarithmic ? LOGARITHMIC : LINEAR,
          ...(!y.isLogarithmic && {
            range: (_: uPlot, low: number, high: number) => padded(low, high, y.most),
          }),
        },
      },
      axes: [
        {
          ...look,
          label: x.label,
          labelSize: 20,
          size: 34,
          ...(x.isLogarithmic && logarithmic),
          values: texts,
        },
        {
          ...look,
          size: AXIS_WIDTH,
          ...(y.isLogarithmic && logarithmic),
          values: texts,
        },
      ],
      series: [
        {},
        ...lines.map(({ label, color, dash = [] }) => ({
          label,
          stroke: color.startsWith("--") ? styleValue(color) : color,
          width: 2,
          dash: [...dash],
          spanGaps: true,
          points: { show: hasPoints, size: 5 },
        })),
      ],
      hooks: { setCursor: [({ cursor }) => onCursor?.(cursor.idx ?? null)] },
    },
    data,
    place,
  );
}

/** From the first x to the last; a single one gets room around it. */
function extent(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [1, 10];
  return low === high ? [low / 2, high * 2 || 1] : [low, high];
}

/** The range of values, with room above and below, but not beyond the largest possible value. */
function padded(low: number | null, high: number | null, most = Number.POSITIVE_INFINITY): [number, number] {
  if (low === null || high === null) return [0, Math.min(1, most)];
  const room = FREE * (high - low || Math.abs(high) || 1);
  return [low >= 0 ? Math.max(0, low - room) : low - room, Math.min(high + room, most)];
}

function texts(_: uPlot, ticks: (number | null)[]): string[] {
  return ticks.map((tick) => (tick === null ? "" : short(tick)));
}

export function short(value: number): string {
  return value >= 1e6
    ? `${value / 1e6} M`
    : value >= 1e4
      ? `${value / 1e3} k`
      : String(Number(value.toPrecision(3)));
}
