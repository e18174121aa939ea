/** The page of `watch`: a list of runs, and five charts of the chosen ones side by side, drawn by uPlot as numbers arrive. */
export const WATCH_PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ghostbatch: runs</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/uplot.css">
<style>
  :root { color-scheme: light dark; --text: #222; --muted: #5a6068; --background: #fff; --line: #d5dade; --chosen: #e3edf8; --running: #22663f; --grid: #e4e8ec; }
  @media (prefers-color-scheme: dark) {
    :root { --text: #e6e9ec; --muted: #a5adb5; --background: #14171a; --line: #3a4147; --chosen: #223244; --running: #6fcf97; --grid: #2a2f34; }
  }
  * { box-sizing: border-box; }
  body { font: 14px/1.4 system-ui, "DejaVu Sans", sans-serif; color: var(--text); background: var(--background); margin: 0; display: grid; grid-template-columns: minmax(18rem, 26rem) minmax(0, 1fr); height: 100vh; }
  nav { border-right: 1px solid var(--line); overflow-y: auto; padding: 1rem 0; }
  h1 { font-size: 1rem; margin: 0 1rem 0.6rem; }
  nav label { display: grid; grid-template-columns: auto 1fr; gap: 0 0.6rem; padding: 0.4rem 1rem; cursor: pointer; overflow-wrap: anywhere; border-left: 6px solid transparent; }
  nav label:has(:checked) { background: var(--chosen); }
  nav input { width: 1.1rem; height: 1.1rem; margin: 0.1rem 0; }
  nav small { color: var(--muted); grid-column: 2; }
  nav small.running { color: var(--running); }
  main { overflow-y: auto; padding: 1rem; }
  #charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
  .chart { min-width: 0; }
  #status { color: var(--muted); min-height: 1.4em; margin-top: 0; }
  .u-title { font-size: 13px !important; font-weight: 600; }
  @media (max-width: 48rem) {
    body { display: block; height: auto; }
    nav { border: 0; border-bottom: 1px solid var(--line); max-height: 40vh; }
  }
</style>
</head>
<body>
<nav aria-label="Runs"><h1>Runs</h1><div id="runs"></div></nav>
<main><p id="status" role="status">No run is chosen.</p><div id="charts"></div></main>
<script src="/uplot.js"></script>
<script>
"use strict";
const CHARTS = [
  { title: "training loss", label: "cross-entropy", kind: "train", value: "loss", logY: true },
  { title: "test accuracy", label: "%", kind: "evaluation", value: "testAccuracy", points: true },
  { title: "learning rate", label: "rate", kind: "train", value: "learningRate" },
  { title: "distance from the start", label: "‖w − w₀‖, all parameters", kind: "train", value: "distanceAll", logX: true, points: true, sparse: true },
  { title: "speed", label: "images/s", kind: "train", value: "imagesPerSecond" },
];
const HEIGHT = 230;
/** Readable on white and on black; a run keeps its color while it is chosen. */
const COLORS = ["#2b7bd1", "#d9622b", "#1f9e77", "#b8860b", "#a65fc4", "#7a8590", "#d14b8f", "#5a8f29"];
/** Runs in the charts: name, color, and what has arrived of them by the title of each chart. */
const chosen = new Map();
let source = null, plots = [], hasChosenFirst = false;

function styleValue(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

function choose(name, isChosen) {
  if (!isChosen) chosen.delete(name);
  else {
    const used = [...chosen.values()].map(({ color }) => color);
    chosen.set(name, { color: COLORS.find((color) => !used.includes(color)) ?? COLORS[chosen.size % COLORS.length] });
  }
  listen();
}

/** One stream for all chosen runs; it begins with all that there is of them. */
function listen() {
  if (source) source.close();
  for (const run of chosen.values()) run.data = new Map(CHARTS.map(({ title }) => [title, [[], []]]));
  build();
  source = new EventSource("/events?" + [...chosen.keys()].map((name) => "run=" + encodeURIComponent(name)).join("&"));
  source.addEventListener("runs", ({ data }) => list(JSON.parse(data)));
  source.addEventListener("metrics", ({ data }) => add(JSON.parse(data)));
  if (chosen.size === 0) document.getElementById("status").textContent = "No run is chosen.";
}

function build() {
  for (const { plot } of plots) plot.destroy();
  const place = document.getElementById("charts");
  place.replaceChildren();
  plots = chosen.size === 0 ? [] : CHARTS.map((chart) => {
    const figure = document.createElement("div");
    figure.className = "chart";
    place.append(figure);
    const lines = { stroke: styleValue("--text"), grid: { stroke: styleValue("--grid") }, ticks: { stroke: styleValue("--grid") } };
    const axis = { ...lines, size: 60, values: (_, ticks) => ticks.map((tick) => tick === null ? "" : String(Number(tick.toPrecision(3)))) };
    const options = {
      title: chart.title, width: figure.clientWidth, height: HEIGHT, legend: { show: false },
      scales: { x: { time: false, distr: chart.logX ? 3 : 1 }, y: { distr: chart.logY ? 3 : 1 } },
      axes: [{ ...lines, label: "step" }, { ...axis, label: chart.label }],
      series: [{ label: "step" }, ...[...chosen].map(([name, { color }]) => (
        { label: name, stroke: color, width: 1.5, spanGaps: true, points: { show: Boolean(chart.points) } }))],
    };
    return { chart, figure, plot: new uPlot(options, [[], ...[...chosen].map(() => [])], figure) };
  });
  fit(); // only now is it known how many charts stand side by side
}

function add({ run: name, rows }) {
  const run = chosen.get(name);
  if (run === undefined) return;
  for (const chart of CHARTS) {
    const [steps, values] = run.data.get(chart.title);
    for (const row of rows) {
      if (row.kind !== chart.kind) continue;
      const value = row[chart.value] ?? null;
      if (chart.sparse && value === null) continue;
      steps.push(row.step);
      // A logarithm has no place for 0 and below.
      values.push(chart.logY && value !== null && value <= 0 ? null : value);
    }
  }
  for (const { chart, plot } of plots) plot.setData(uPlot.join([...chosen.values()].map(({ data }) => data.get(chart.title))));
  run.step = rows[rows.length - 1].step;
  document.getElementById("status").textContent = [...chosen].filter(([, { step }]) => step !== undefined)
    .map(([name, { step }]) => name + ": step " + step).join("; ");
  document.body.dataset.points = String([...chosen.values()].reduce((sum, { data }) => sum + data.get(CHARTS[0].title)[0].length, 0));
}

/** Rows stay in place while they are the same runs: a box that is rebuilt under a finger or a cursor cannot be ticked. */
const shown = new Map();
function list(runs) {
  const now = Date.now();
  const rows = runs.map(({ name, finished, accuracy, changed }) => {
    const row = shown.get(name) ?? newRow(name);
    shown.set(name, row);
    const active = !finished && now - changed < 60000;
    row.state.textContent = finished ? "finished, test accuracy " + (accuracy === null ? "unknown" : accuracy.toFixed(2) + " %") : active ? "running" : "not finished, still for " + Math.round((now - changed) / 60000) + " min";
    row.state.className = active ? "running" : "";
    row.label.style.borderLeftColor = chosen.get(name)?.color ?? "transparent";
    row.box.checked = chosen.has(name);
    return row.label;
  });
  const place = document.getElementById("runs");
  if (rows.length !== place.children.length || rows.some((row, i) => place.children[i] !== row)) place.replaceChildren(...rows);
  if (hasChosenFirst || runs.length === 0) return;
  hasChosenFirst = true;
  choose(runs[0].name, true);
}

function newRow(name) {
  const label = document.createElement("label"), box = document.createElement("input"), state = document.createElement("small");
  box.type = "checkbox";
  box.onchange = () => { hasChosenFirst = true; choose(name, box.checked); };
  label.append(box, document.createTextNode(name), state);
  return { label, box, state };
}

function fit() { for (const { figure, plot } of plots) plot.setSize({ width: figure.clientWidth, height: HEIGHT }); }

new ResizeObserver(fit).observe(document.getElementById("charts"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", listen);
listen();
</script>
</body>
</html>
`;
