/** The charts of the chosen runs, and the data that has arrived. */
import uPlot from "uplot";
import { element } from "../element.ts";
import { LineChart, type LineChartOptions } from "../line-chart.ts";

export interface Row {
  readonly kind: string;
  readonly step: number;
  readonly epoch: number;
  readonly [column: string]: number | string | null | undefined;
}

/** A run in the charts. */
export interface ShownRun {
  readonly name: string;
  readonly label: string;
  readonly color: string;
  readonly rows: Row[];
}

export const AXES = {
  "log-steps": { label: "step", isLogarithmic: true, place: ({ step }: Row) => step },
  steps: { label: "step", isLogarithmic: false, place: ({ step }: Row) => step },
  epochs: { label: "epoch", isLogarithmic: false, place: ({ epoch }: Row) => epoch },
} as const;
export type AxisName = keyof typeof AXES;

/** Share of a run's rows that each drawn point averages, as in `report`: losses of single batches would form a band that hides the curve. */
const SMOOTHED = 0.02;

interface ChartOfRuns {
  readonly title: string;
  /** Kind of the rows of metrics that it is drawn from. */
  readonly kind: "train" | "evaluation";
  readonly column: string;
  readonly y: LineChartOptions["y"];
  readonly isSmoothed?: boolean;
  readonly hasPoints?: boolean;
}

const CHARTS: readonly ChartOfRuns[] = [
  {
    title: "Test accuracy, %",
    kind: "evaluation",
    column: "testAccuracy",
    hasPoints: true,
    y: { most: 100 },
  },
  {
    title: "Training loss, mean of the last 2 % of steps",
    kind: "train",
    column: "loss",
    isSmoothed: true,
    y: { isLogarithmic: true },
  },
  { title: "Distance from the first weights, ‖w − w₀‖", kind: "train", column: "distanceAll", y: {} },
  { title: "Learning rate", kind: "train", column: "learningRate", y: { isLogarithmic: true } },
  { title: "Images per second", kind: "train", column: "imagesPerSecond", y: {} },
];

export class RunCharts {
  readonly #charts: readonly LineChart[];
  readonly #readings: readonly HTMLElement[];
  #runs: readonly ShownRun[] = [];
  #data: readonly uPlot.AlignedData[] = [];
  #axis: AxisName = "log-steps";

  constructor(place: HTMLElement) {
    const made = CHARTS.map((chart, i) => {
      const part = element("div", {});
      place.append(part);
      const x = AXES[this.#axis];
      const onCursor = (index: number | null) => this.#read(i, index);
      const options = { ...chart, x, lines: [], cursorKey: "runs", onCursor };
      const drawn = new LineChart(part, options);
      const reading = element("p", { class: "reading" });
      part.append(reading);
      return { drawn, reading };
    });
    this.#charts = made.map(({ drawn }) => drawn);
    this.#readings = made.map(({ reading }) => reading);
  }

  /** Shows other runs, or the same under other names, or another axis. */
  choose(runs: readonly ShownRun[], axis: AxisName): void {
    this.#runs = runs;
    this.#axis = axis;
    for (const chart of this.#charts) chart.change({ x: AXES[axis], lines: runs });
    this.draw();
  }

  /** Draws the data that has arrived. */
  draw(): void {
    this.#data = CHARTS.map((chart) => dataOf(this.#runs, chart, this.#axis));
    for (const [i, chart] of this.#charts.entries())
      chart.show(this.#data[i]!, inWords(CHARTS[i]!.title, this.#runs, this.#data[i]!));
  }

  /** The values under the cursor. */
  #read(chart: number, index: number | null): void {
    const [places = [], ...columns] = this.#data[chart] ?? [];
    const place = index === null ? undefined : places[index];
    const values = columns.flatMap((column, i) => {
      const value = index === null ? null : lastUpTo(column, index);
      return value === null ? [] : [`${this.#runs[i]!.label} ${Number(value.toPrecision(4))}`];
    });
    this.#readings[chart]!.textContent =
      place === undefined
        ? ""
        : `${AXES[this.#axis].label} ${Number(place.toPrecision(6))}: ${values.join(" · ")}`;
  }
}

/** The value at a position, or the last one before it, because runs have values at different steps. */
function lastUpTo(column: ArrayLike<number | null | undefined>, index: number): number | null {
  for (let i = index; i >= 0; i--) if (column[i] != null) return column[i]!;
  return null;
}

function dataOf(runs: readonly ShownRun[], chart: ChartOfRuns, axis: AxisName): uPlot.AlignedData {
  if (runs.length === 0) return [[]];
  const { place } = AXES[axis];
  return uPlot.join(
    runs.map(({ rows }): uPlot.AlignedData => {
      const own = rows.filter((row) => row.kind === chart.kind && row[chart.column] !== undefined);
      const values = own.map((row) => drawable(row[chart.column], chart.y));
      const shown = chart.isSmoothed ? smoothed(values) : values;
      return [own.map(place), shown];
    }),
  );
}

/** 0 and negative values have no place on a logarithmic axis. */
function drawable(value: unknown, { isLogarithmic }: ChartOfRuns["y"]): number | null {
  return typeof value === "number" && (value > 0 || !isLogarithmic) ? value : null;
}

/** Running mean over the last existing values; gaps stay gaps. */
function smoothed(values: readonly (number | null)[]): (number | null)[] {
  const window = Math.max(1, Math.round(SMOOTHED * values.length));
  const last: number[] = [];
  let sum = 0;
  return values.map((value) => {
    if (value === null) return null;
    last.push(value);
    sum += value;
    if (last.length > window) sum -= last.shift()!;
    return sum / last.length;
  });
}

function inWords(title: string, runs: readonly ShownRun[], [, ...columns]: uPlot.AlignedData): string {
  const last = runs.flatMap(({ label }, i) => {
    const column = columns[i] ?? [];
    const value = lastUpTo(column, column.length - 1);
    return value === null ? [] : [`${label} ${Number(value.toPrecision(4))}`];
  });
  return `${title}. ${last.length === 0 ? "No curves yet." : last.join("; ")}`;
}
