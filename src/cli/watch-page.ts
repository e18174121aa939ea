/** The page of `watch`: a list of runs, and five charts of the chosen one, drawn by uPlot as numbers arrive. */
export const WATCH_PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ghostbatch: runs</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/uplot.css">
<style>
  body { font: 14px/1.4 system-ui, "DejaVu Sans", sans-serif; color: #222; margin: 0; display: grid; grid-template-columns: minmax(18rem, 26rem) 1fr; height: 100vh; }
  nav { border-right: 1px solid #ddd; overflow-y: auto; padding: 1rem 0; }
  h1 { font-size: 1rem; margin: 0 1rem 0.6rem; }
  nav button { display: block; width: 100%; text-align: left; border: 0; background: none; padding: 0.4rem 1rem; font: inherit; cursor: pointer; overflow-wrap: anywhere; }
  nav button:hover { background: #f3f3f3; }
  nav button.chosen { background: #e3edf8; }
  nav small { color: #666; display: block; }
  .running { color: #2f855a; }
  main { overflow-y: auto; padding: 1rem; }
  #charts { display: flex; flex-wrap: wrap; gap: 1rem; }
  #status { color: #555; min-height: 1.4em; }
  .u-legend { font-size: 12px; }
  .u-title { font-size: 13px !important; font-weight: 600; }
</style>
</head>
<body>
<nav><h1>Runs</h1><div id="runs"></div></nav>
<main><p id="status">No run is chosen.</p><div id="charts"></div></main>
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
const WIDTH = 480, HEIGHT = 230;
let chosen = null, source = null, plots = [];

function show(run) {
  chosen = run;
  if (source) source.close();
  for (const { plot } of plots) plot.destroy();
  plots = run === null ? [] : CHARTS.map((chart) => {
    const axis = { size: 60, values: (_, ticks) => ticks.map((tick) => tick === null ? "" : String(Number(tick.toPrecision(3)))) };
    const options = {
      title: chart.title, width: WIDTH, height: HEIGHT,
      scales: { x: { time: false, distr: chart.logX ? 3 : 1 }, y: { distr: chart.logY ? 3 : 1 } },
      axes: [{ label: "step" }, { ...axis, label: chart.label }],
      series: [{ label: "step" }, { label: chart.title, stroke: "#2b6cb0", width: 1, points: { show: Boolean(chart.points) } }],
    };
    return { chart, data: [[], []], plot: new uPlot(options, [[], []], document.getElementById("charts")) };
  });
  source = new EventSource("/events" + (run === null ? "" : "?run=" + encodeURIComponent(run)));
  source.addEventListener("runs", ({ data }) => list(JSON.parse(data)));
  source.addEventListener("metrics", ({ data }) => add(JSON.parse(data)));
}

function add(rows) {
  for (const { chart, data, plot } of plots) {
    for (const row of rows) {
      if (row.kind !== chart.kind) continue;
      const value = row[chart.value] ?? null;
      if (chart.sparse && value === null) continue;
      data[0].push(row.step);
      // A logarithm has no place for 0 and below.
      data[1].push(chart.logY && value !== null && value <= 0 ? null : value);
    }
    plot.setData(data);
  }
  const last = rows[rows.length - 1];
  document.getElementById("status").textContent = chosen + ": step " + last.step;
  document.body.dataset.points = String(plots.length === 0 ? 0 : plots[0].data[0].length);
}

function list(runs) {
  const place = document.getElementById("runs");
  const now = Date.now();
  place.replaceChildren(...runs.map(({ name, finished, accuracy, changed }) => {
    const button = document.createElement("button");
    const state = document.createElement("small");
    button.textContent = name;
    const active = !finished && now - changed < 60000;
    state.textContent = finished ? "finished, test accuracy " + (accuracy === null ? "unknown" : accuracy.toFixed(2) + " %") : active ? "running" : "not finished, still for " + Math.round((now - changed) / 60000) + " min";
    if (active) state.className = "running";
    if (name === chosen) button.className = "chosen";
    button.append(state);
    button.onclick = () => show(name);
    return button;
  }));
  if (chosen === null && runs.length > 0) show(runs[0].name);
}

show(null);
</script>
</body>
</html>
`;
