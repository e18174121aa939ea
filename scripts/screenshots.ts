// Takes the pictures of the report and of watch in docs/images from real runs:
// node --import tsx scripts/screenshots.ts RUNS-DIR EXPERIMENT [FOLDER]

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startWatch } from "../src/cli/watch-server.ts";
import { parseRecord, RECORD_SUFFIX } from "../src/report/experiment-record.ts";
import { reportPage } from "../src/report/page.ts";
import { reportExperiment } from "../src/report/report.ts";
import { openBrowser } from "../test/support/browser.ts";

const [runsDirectory, experiment, folder = "docs/images"] = process.argv.slice(2);
if (!runsDirectory || !experiment)
  throw new Error("expected a runs directory and the name of an experiment in it");
mkdirSync(folder, { recursive: true });

const recordPath = join(runsDirectory, `${experiment}${RECORD_SUFFIX}`);
const report = await reportExperiment(parseRecord(readFileSync(recordPath, "utf8"), recordPath), (run) =>
  join(runsDirectory, run),
);
const html = join(tmpdir(), "ghostbatch-report.html");
writeFileSync(html, await reportPage(report));
const reportView = await openBrowser({ width: 1250, height: 900 });
await reportView.page.goto(`file://${resolve(html)}`);
await reportView.page.locator("body[data-drawn]").waitFor();
await reportView.page.screenshot({ path: join(folder, "report.png"), fullPage: true });
await reportView.close();

const server = await startWatch({ runsDirectory, host: "127.0.0.1", port: 0 });
const watchView = await openBrowser({ width: 1450, height: 900 });
await watchView.page.goto(server.url);
await watchView.page.getByRole("checkbox").first().waitFor();
for (const box of await watchView.page.getByRole("checkbox").all()) await box.setChecked(true);
// The rows of the list show a run's last step once its metrics have arrived.
for (const state of await watchView.page.locator("#runs small").all())
  await state.filter({ hasText: "step" }).waitFor();
await watchView.page.waitForTimeout(500); // charts are drawn in the next frame
await watchView.page.screenshot({ path: join(folder, "watch.png") });
await watchView.close();
await server.close();
for (const errors of [reportView.errors, watchView.errors])
  if (errors.length > 0) throw new Error(errors.join("; "));
