/** One HTML file that opens without a network: text, charts with zoom and tooltips, and all they need, inlined. */
import { readPackageFile } from "../storage/package-file.ts";
import { escapeMarkup } from "./markup.ts";
import { compileChart } from "./render.ts";
import type { Report } from "./report.ts";

const STYLE = `
  body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #222; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
  h1 { font-size: 1.4rem; font-weight: 600; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; }
  th, td { border-bottom: 1px solid #ddd; padding: 0.25rem 0.6rem; text-align: right; white-space: nowrap; }
  th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
  .charts { display: flex; flex-wrap: wrap; gap: 1.5rem; }
  figure { margin: 0; max-width: 40rem; }
  figcaption { color: #444; font-size: 13px; }
  .problems { border-left: 4px solid #d1495b; padding-left: 1rem; }
  .hint { color: #666; font-size: 13px; }
  pre { overflow-x: auto; background: #f6f6f6; padding: 0.8rem; font-size: 12px; }
`;

/** Draws every chart into its place; the whole of the page's own script. */
const SCRIPT = `
  const charts = JSON.parse(document.getElementById("charts-data").textContent);
  Promise.all(charts.map(({ name, spec }) =>
    new vega.View(vega.parse(spec), { renderer: "canvas", container: document.getElementById("chart-" + name), hover: true }).runAsync()
  )).then(() => { document.body.dataset.drawn = String(charts.length); });
`;

export async function reportPage({ title, markdown, charts }: Report): Promise<string> {
  const compiled = await Promise.all(
    charts.map(async ({ name, spec }) => ({ name, spec: await compileChart(spec) })),
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
<meta name="viewport" content="width=device-width">
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

/** JSON inside a script element: no end of the element can occur in it. */
function inlineJson(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

function inlineScript(code: string): string {
  return code.replaceAll("</script", "<\\/script");
}

/** The Markdown that reports are made of: headings, lists, tables, emphasis, code. Images, with the captions under them, are left to the live charts. */
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
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((text) => `<${tag}>${text}</${tag}>`).join("")}</tr>`;
  return `<div class="scroll"><table><thead>${row(head!, "th")}</thead><tbody>${rows.map((cells) => row(cells, "td")).join("")}</tbody></table></div>`;
}

/** Escaped characters, code, emphasis and text, in the order that they stand in. */
function inline(text: string): string {
  const parts = text.matchAll(/\\([!-/:-@[-`{-~])|`([^`]+)`|\*\*([^*]+)\*\*|[^\\`*]+|./gs);
  return [...parts]
    .map(([all, escaped, code, strong]) => {
      if (code !== undefined) return `<code>${escapeMarkup(code)}</code>`;
      return strong === undefined ? escapeMarkup(escaped ?? all) : `<strong>${inline(strong)}</strong>`;
    })
    .join("");
}
