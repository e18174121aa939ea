/** One HTML file that opens without a network: text, and charts with zoom and tooltips, with all they need inlined. */
import { readPackageFile } from "../storage/package-file.ts";
import type { ChartSpec } from "./charts.ts";
import { escapeMarkup } from "./markup.ts";
import { compileChart } from "./render.ts";
import type { Report } from "./report.ts";

const STYLE = `
  body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #222; background: #fff; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; overflow-wrap: anywhere; }
  h1 { font-size: 1.4rem; font-weight: 600; }
  ul { padding-left: 1.2rem; }
  .scroll { overflow-x: auto; max-width: 100%; }
  table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
  th, td { border-bottom: 1px solid #ddd; padding: 0.25rem 0.55rem; text-align: right; white-space: nowrap; }
  th { white-space: normal; vertical-align: bottom; }
  th.text, td.text { text-align: left; }
  th:first-child, td:first-child { position: sticky; left: 0; background: #fff; padding-left: 0; }
  .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1.8rem; align-items: start; }
  figure { margin: 0; min-width: 0; }
  figure canvas { max-width: 100%; }
  figcaption { color: #444; font-size: 13px; }
  .problems { border-left: 4px solid #d1495b; padding-left: 1rem; }
  .hint { color: #666; font-size: 13px; }
  pre { overflow-x: auto; background: #f6f6f6; padding: 0.8rem; font-size: 12px; }
  @media (max-width: 40rem) {
    td:first-child { max-width: 9rem; white-space: normal; }
  }
`;

/** The page's script: draws every chart at the width of its container, and again when that changes. */
const SCRIPT = `
  const charts = JSON.parse(document.getElementById("charts-data").textContent);
  /** Pixels: width of a small chart beside others, and of a letter in a legend. */
  const SMALL = 330, LETTER = 7.5, SYMBOL = 45;
  function fitted({ spec, groups, longest }, width, tooWide) {
    const copy = structuredClone(spec);
    const { axis, axisY } = copy.config ?? {};
    copy.config = { ...copy.config, axis: { ...axis, labelSeparation: 8 }, axisY: { ...axisY, minExtent: 38 } };
    for (const legend of copy.legends ?? []) {
      legend.columns = Math.max(1, Math.floor(width / (longest * LETTER + SYMBOL)));
      if (legend.orient === undefined) Object.assign(legend, { orient: "bottom", direction: "horizontal" });
    }
    const child = copy.signals?.find(({ name }) => name === "child_width");
    if (child === undefined) return Object.assign(copy, { autosize: { type: "fit-x", contains: "padding" }, width });
    const columns = Math.max(1, Math.min(groups, Math.floor(width / SMALL)));
    copy.layout.columns = columns;
    child.value = Math.max(100, Math.floor((width - tooWide) / columns) - 20);
    if (columns === 1) copy.signals.find(({ name }) => name === "child_height").value = Math.min(300, child.value * 0.6);
    return copy;
  }
  async function draw(chart, place) {
    const width = Math.floor(place.clientWidth);
    if (width === chart.width) return;
    chart.width = width;
    // The width of the axes of small charts is known only after drawing.
    for (let tooWide = 0, turn = 0; turn < 3; turn++) {
      chart.view?.finalize();
      const runtime = vega.parse(fitted(chart, width, tooWide));
      chart.view = await new vega.View(runtime, { renderer: "canvas", container: place, hover: true }).runAsync();
      const excess = Math.ceil(parseFloat(place.querySelector("canvas").style.width)) - width;
      if (excess <= 0) break;
      tooWide += excess;
    }
  }
  Promise.all(charts.map(async (chart) => {
    const place = document.getElementById("chart-" + chart.name);
    await draw(chart, place);
    new ResizeObserver(() => requestAnimationFrame(() => draw(chart, place))).observe(place);
  })).then(() => { document.body.dataset.drawn = String(charts.length); });
`;

/** What the page needs to fit a chart: the number of small charts in it, and the length of the longest name in its legend. */
function measuresOf(spec: ChartSpec): { readonly groups: number; readonly longest: number } {
  const { values = [] } = (spec["data"] ?? {}) as { readonly values?: readonly Record<string, unknown>[] };
  const distinct = (key: string) =>
    [...new Set(values.map((value) => value[key]))].filter((one) => one !== undefined);
  const names = [...distinct("series"), ...distinct("source")];
  return {
    groups: Math.max(1, distinct("group").length),
    longest: Math.max(4, ...names.map((name) => String(name).length)),
  };
}

export async function reportPage({ title, markdown, charts }: Report): Promise<string> {
  const compiled = await Promise.all(
    charts.map(async (chart) => {
      // The page's title is not repeated.
      const { title: own, ...untitled } = chart.spec;
      const spec = await compileChart(own === title ? untitled : chart.spec);
      return { name: chart.name, spec, ...measuresOf(chart.spec) };
    }),
  );
  const library = charts.length === 0 ? "" : await readPackageFile("vega", "build/vega.min.js");
  const places = charts
    .map(
      ({ name, caption }) =>
        `<figure><div id="chart-${escapeMarkup(name)}"></div><figcaption>${escapeMarkup(caption)}</figcaption></figure>`,
    )
    .join("\n");
  const moving = charts.some(({ spec }) => JSON.stringify(spec).includes('"bind":"scales"'))
    ? "Drag to move a chart, scroll over it to zoom, double-click to reset it; rest"
    : "Rest";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeMarkup(title)}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
${markdownToHtml(markdown)}
${charts.length === 0 ? "" : `<p class="hint">${moving} on a point for its numbers.</p>`}
<div class="charts">
${places}
</div>
${charts.length === 0 ? "" : `<script type="application/json" id="charts-data">${inlineJson(compiled)}</script>\n<script>${inlineScript(library)}</script>\n<script>${SCRIPT}</script>`}
</body>
</html>
`;
}

/** JSON for a script element, which must not contain the element's end tag. */
function inlineJson(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

function inlineScript(code: string): string {
  return code.replaceAll("</script", "<\\/script");
}

/** Converts the Markdown of reports: headings, lists, tables, emphasis, code. Images and their captions are omitted, because the page has live charts. */
export function markdownToHtml(markdown: string): string {
  const html: string[] = [];
  const lines = markdown.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const take = (matches: (line: string) => boolean) => {
      const start = i;
      while (i + 1 < lines.length && matches(lines[i + 1]!)) i++;
      return lines.slice(start, i + 1);
    };
    if (line.startsWith("![")) take((next) => next !== "");
    else if (line.startsWith("```")) {
      const block = take((next) => !next.startsWith("```")).slice(1);
      i++;
      html.push(`<pre>${escapeMarkup(block.join("\n"))}</pre>`);
    } else if (line.startsWith("# ")) html.push(`<h1>${inline(line.slice(2))}</h1>`);
    else if (line.startsWith("| ")) html.push(tableHtml(take((next) => next.startsWith("|"))));
    else if (line.startsWith("- ")) {
      const items = take((next) => next.startsWith("- ")).map((item) => `<li>${inline(item.slice(2))}</li>`);
      html.push(`<ul>${items.join("")}</ul>`);
    } else if (line !== "") html.push(`<p>${inline(line)}</p>`);
  }
  return html.join("\n");
}

function tableHtml(lines: readonly string[]): string {
  const [head, , ...rows] = lines.map((line) =>
    line
      .slice(1, line.lastIndexOf("|"))
      .split(/(?<!\\)\|/)
      .map((text) => inline(text.trim())),
  );
  // Numbers are right-aligned, so that their digits line up.
  const isText = head!.map((_, i) => rows.some((cells) => !/^(-?[\d.,]+.*|)$/.test(cells[i] ?? "")));
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((text, i) => `<${tag}${isText[i] ? ' class="text"' : ""}>${text}</${tag}>`).join("")}</tr>`;
  return `<div class="scroll"><table><thead>${row(head!, "th")}</thead><tbody>${rows.map((cells) => row(cells, "td")).join("")}</tbody></table></div>`;
}

/** Converts escaped characters, code, emphasis and text, in order. */
function inline(text: string): string {
  const parts = text.matchAll(/\\([!-/:-@[-`{-~])|`([^`]+)`|\*\*([^*]+)\*\*|[^\\`*]+|./gs);
  return [...parts]
    .map(([all, escaped, code, strong]) => {
      if (code !== undefined) return `<code>${escapeMarkup(code)}</code>`;
      return strong === undefined ? escapeMarkup(escaped ?? all) : `<strong>${inline(strong)}</strong>`;
    })
    .join("");
}
