/** The server of `watch`: reads runs and their metrics from the run folders, so that training is not involved. */
import { existsSync } from "node:fs";
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { listRuns, type MetricNumbers, parseMetricLine } from "../storage/read-run.ts";
import { readSummary } from "../storage/run-folder.ts";
import { isLoopback, type LocalServer, type ServerPlace, startLocalServer } from "./local-server.ts";
import { contentType, pageFiles, type SiteFiles } from "./page-files.ts";

export interface WatchOptions extends ServerPlace {
  readonly runsDirectory: string;
}

export interface WatchServer extends LocalServer {
  readonly warnings: readonly string[];
}

/** Milliseconds between checks of the folders. */
const INTERVAL = 1000;
/** Points of a run to keep for the page: more than a chart is wide. */
const KEPT_POINTS = 2000;
/** The most runs of one page; more curves in a chart cannot be distinguished. */
const MOST_RUNS = 32;

const POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:";

/** @throws UsageError if the port or the address is not available */
export async function startWatch({ runsDirectory, ...place }: WatchOptions): Promise<WatchServer> {
  const server = await startLocalServer("watch", place, {
    policy: POLICY,
    addRoutes: (app) => addRoutes(app, runsDirectory),
  });
  const { host } = place;
  return {
    ...server,
    warnings: [
      ...(isLoopback(host)
        ? []
        : [`${host} is not a loopback address: anyone who can reach it can read the runs`]),
      ...(existsSync(runsDirectory)
        ? []
        : [`the folder ${runsDirectory} does not exist yet; runs will appear once there are some`]),
    ],
  };
}

function addRoutes(app: Hono, runsDirectory: string): void {
  // In a checkout building takes a second, so it happens at the first request for the page.
  let page: Promise<SiteFiles> | null = null;
  app.get("/runs", async (context) => context.json(await overview(runsDirectory)));
  app.get("/events", (context) =>
    streamSSE(context, async (stream) => {
      const asked = new Set(context.req.queries("run"));
      // A name must be in the list, so it cannot be used as a path.
      const runs = (await listRuns(runsDirectory)).filter((name) => asked.has(name)).slice(0, MOST_RUNS);
      const tails = runs.map((run) => ({
        run,
        tail: new MetricTail(join(runsDirectory, run, "metrics.jsonl")),
      }));
      while (!stream.aborted && !stream.closed) {
        await stream.writeSSE({ event: "runs", data: JSON.stringify(await overview(runsDirectory)) });
        for (const { run, tail } of tails) {
          const rows = await tail.read();
          if (rows.length > 0)
            await stream.writeSSE({ event: "metrics", data: JSON.stringify({ run, rows }) });
        }
        await stream.sleep(INTERVAL);
      }
    }),
  );
  app.get("/*", async (context) => {
    page ??= pageFiles("watch");
    const path = context.req.path.slice(1);
    const content = (await page).get(path === "" ? "watch.html" : path);
    if (content === undefined) return context.notFound();
    return context.body(content, 200, { "Content-Type": contentType(path === "" ? "watch.html" : path) });
  });
}

interface RunState {
  readonly name: string;
  readonly finished: boolean;
  /** Test accuracy, percent, of a finished run. */
  readonly accuracy: number | null;
  /** Time of its last metrics, milliseconds since 1970. */
  readonly changed: number;
}

/** Newest first. */
async function overview(runsDirectory: string): Promise<RunState[]> {
  const names = await listRuns(runsDirectory);
  const runs = await Promise.all(
    names.map(async (name): Promise<RunState> => {
      const folder = join(runsDirectory, name);
      const summary = (await readSummary(folder).catch(() => null)) as { accuracy?: unknown } | null;
      const changed = (await stat(join(folder, "metrics.jsonl")).catch(() => null))?.mtimeMs ?? 0;
      const accuracy = typeof summary?.accuracy === "number" ? summary.accuracy : null;
      return { name, finished: summary !== null, accuracy, changed };
    }),
  );
  return runs.sort((a, b) => b.changed - a.changed);
}

/** Reads what has been added to a metrics file since the last check. */
export class MetricTail {
  readonly #path: string;
  #offset = 0;
  #rest = "";
  /** Inode of the last file read. */
  #file = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** New rows, thinned if there are more than a chart can show. */
  async read(): Promise<({ kind: string } & Record<string, number | string | null>)[]> {
    const found = await stat(this.#path).catch(() => null);
    // Anything but a regular file is ignored; opening a pipe would block until it has a writer.
    const file = found?.isFile() ? await open(this.#path, "r").catch(() => null) : null;
    if (file === null) return [];
    try {
      const { size, ino } = await file.stat();
      // A resumed run replaces the file with a copy that ends at its checkpoint: start over.
      if (size < this.#offset || ino !== this.#file) [this.#offset, this.#rest, this.#file] = [0, "", ino];
      const bytes = new Uint8Array(size - this.#offset);
      await file.read(bytes, 0, bytes.length, this.#offset);
      this.#offset = size;
      const lines = (this.#rest + new TextDecoder().decode(bytes)).split("\n");
      this.#rest = lines.pop() ?? "";
      const rows = lines.flatMap((line) => parseMetricLine(line) ?? []);
      const training = rows.filter(({ kind }) => kind === "train");
      const every = Math.max(1, Math.ceil(training.length / KEPT_POINTS));
      let position = 0;
      return rows
        .filter(
          ({ kind, numbers }) =>
            kind !== "train" || position++ % every === 0 || Number.isFinite(numbers["distanceAll"]),
        )
        .map(({ kind, numbers }) => ({ kind, ...finite(numbers) }));
    } finally {
      await file.close();
    }
  }
}

/** JSON has no NaN, so a gap is null. */
function finite(numbers: MetricNumbers): Record<string, number | null> {
  return Object.fromEntries(
    Object.entries(numbers).map(([key, value]) => [key, Number.isFinite(value) ? value : null]),
  );
}
