/** The page of `watch`: lists a folder's runs, with a filter, and draws the chosen ones in shared charts as numbers arrive. */
import "../theme.css";
import "./watch.css";
import { byId } from "../element.ts";
import { AXES, type AxisName, type Row, RunCharts, type ShownRun } from "./run-charts.ts";
import { RunList, type RunState } from "./run-list.ts";

/** Readable on white and on black; a run keeps its color while it is chosen. */
const COLORS = ["#2b7bd1", "#d9622b", "#1f9e77", "#b8860b", "#a65fc4", "#7a8590", "#d14b8f", "#5a8f29"];
/** The most runs that a click on "all" chooses: more curves cannot be told apart. */
const MOST = 32;

const filter = byId("filter", HTMLInputElement);
const axis = byId("axis", HTMLSelectElement);
const status = byId("status", HTMLElement);
const charts = new RunCharts(byId("charts", HTMLElement));
const list = new RunList(byId("runs", HTMLElement), choose);
/** Color and rows of each chosen run. */
const chosen = new Map<string, { readonly color: string; readonly rows: Row[] }>();
let runs: readonly RunState[] = [];
let source: EventSource | null = null;
/** Whether the user has chosen runs, by the page's address or by hand; until then the newest run is shown. */
let hasChosen = false;

readAddress();
filter.addEventListener("input", () => {
  showList();
  writeAddress();
});
axis.addEventListener("change", () => {
  showCharts();
  writeAddress();
});
byId("all", HTMLButtonElement).addEventListener("click", () => chooseAll(list.listed.slice(0, MOST)));
byId("none", HTMLButtonElement).addEventListener("click", () => chooseAll([]));
listen();

function choose(name: string, isChosen: boolean): void {
  hasChosen = true;
  if (isChosen) add(name);
  else chosen.delete(name);
  listen();
  writeAddress();
}

function chooseAll(names: readonly string[]): void {
  hasChosen = true;
  for (const name of [...chosen.keys()]) if (!names.includes(name)) chosen.delete(name);
  for (const name of names) add(name);
  listen();
  writeAddress();
}

function add(name: string): void {
  if (chosen.has(name)) return;
  const used = [...chosen.values()].map(({ color }) => color);
  const color = COLORS.find((one) => !used.includes(one)) ?? COLORS[chosen.size % COLORS.length]!;
  chosen.set(name, { color, rows: [] });
}

/** One stream for all chosen runs, which begins with all their existing data. */
function listen(): void {
  source?.close();
  for (const run of chosen.values()) run.rows.length = 0;
  showList();
  showCharts();
  source = new EventSource(`events?${new URLSearchParams([...chosen.keys()].map((name) => ["run", name]))}`);
  source.addEventListener("runs", ({ data }: MessageEvent<string>) => {
    const before = namesIn(runs);
    runs = JSON.parse(data) as RunState[];
    showList();
    const newest = runs[0];
    if (!hasChosen && chosen.size === 0 && newest) {
      add(newest.name);
      listen();
    } else if (namesIn(runs) !== before) showCharts(); // short names follow from all of them
  });
  source.addEventListener("metrics", ({ data }: MessageEvent<string>) => {
    const { run, rows } = JSON.parse(data) as { run: string; rows: Row[] };
    chosen.get(run)?.rows.push(...rows);
    charts.draw();
    showList();
    const losses = [...chosen.values()].flatMap((one) => one.rows).filter(({ kind }) => kind === "train");
    document.body.dataset.points = String(losses.length);
  });
}

function namesIn(list: readonly RunState[]): string {
  return list
    .map(({ name }) => name)
    .sort()
    .join();
}

function showList(): void {
  const looks = [...chosen].map(
    ([name, { color, rows }]) => [name, { color, step: rows.at(-1)?.step ?? null }] as const,
  );
  list.show(runs, filter.value, new Map(looks));
  const words =
    runs.length === 0
      ? "No runs yet."
      : `${chosen.size} of ${runs.length} runs in the charts${filter.value.trim() === "" ? "" : `, ${list.listed.length} listed`}.`;
  if (status.textContent !== words) status.textContent = words;
}

function showCharts(): void {
  const labels = list.labels;
  const shown = [...chosen].map(
    ([name, run]): ShownRun => ({ name, label: labels.get(name) ?? name, ...run }),
  );
  charts.choose(shown, axis.value as AxisName);
}

/** Keeps what is shown in the page's address, so that a link shows the same. */
function writeAddress(): void {
  const words = [...chosen.keys()].map((name) => ["run", name]);
  const parts = new URLSearchParams([...words, ["filter", filter.value], ["axis", axis.value]]);
  history.replaceState(null, "", `#${parts}`);
}

function readAddress(): void {
  const parts = new URLSearchParams(location.hash.slice(1));
  filter.value = parts.get("filter") ?? "";
  const wanted = parts.get("axis") ?? "";
  if (Object.hasOwn(AXES, wanted)) axis.value = wanted;
  for (const name of parts.getAll("run")) add(name);
  hasChosen = location.hash !== "";
}
