// `watch` beside training: it leaves no trace in a run's folder, and does not change the run.

import { lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startWatch, type WatchServer } from "../../src/cli/watch-server.ts";
import { RunControl } from "../../src/run/run-control.ts";
import { StoppedError } from "../../src/support/errors.ts";
import { FolderRuns } from "../support/folder-runs.ts";
import { outcome } from "../support/kills.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-watched-"));
const runs = new FolderRuns(runsDirectory);
let server: WatchServer;

beforeAll(async () => {
  server = await startWatch({ runsDirectory, host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await server.close();
  rmSync(runsDirectory, { recursive: true });
});

/** Opens the page's stream on a run and closes it after the first look. @returns rows of metrics that were sent */
async function look(run: string): Promise<number> {
  const closed = new AbortController();
  const { body } = await fetch(`${server.url}events?run=${run}`, { signal: closed.signal });
  const reader = body!.getReader();
  let text = "";
  const read = async () => {
    while (!text.includes("event: metrics")) {
      const { value, done } = await reader.read();
      if (done) return;
      text += new TextDecoder().decode(value);
    }
  };
  // A run without metrics yet has nothing to send.
  await Promise.race([read(), sleep(200)]).catch(() => undefined);
  closed.abort();
  return text.match(/"kind":/g)?.length ?? 0;
}

/** Looks at a run again and again until it ends. */
async function watched<T>(
  name: string,
  done: Promise<T>,
): Promise<{ result: T; looks: number; rows: number }> {
  let ended = false;
  const end = () => {
    ended = true;
  };
  done.then(end, end);
  let [looks, rows] = [0, 0];
  for (; !ended; looks++) {
    rows += await look(name);
    await sleep(20); // both are in this process
  }
  return { result: await done, looks, rows };
}

/** Size, times and kind of everything in the runs folder. A file created and removed shows in the time of its folder. */
function traces(): Map<string, string> {
  const paths = ["", ...(readdirSync(runsDirectory, { recursive: true }) as string[])].sort();
  return new Map(
    paths.map((path) => {
      const { mode, size, ctimeNs, mtimeNs, ino } = lstatSync(join(runsDirectory, path), { bigint: true });
      return [path, [mode, size, ctimeNs, mtimeNs, ino].join(" ")];
    }),
  );
}

function stoppingAt(at: number) {
  const control = new RunControl();
  const onProgress = ({ step }: { step: number }) => {
    if (step >= at) control.requestStop({ by: "test", exitCode: 99 });
  };
  return { control, onProgress };
}

test("a run that is watched all the time, stopped and resumed too, has the bits of an unwatched one", async () => {
  const given = { maxSteps: 900 };
  const alone = await runs.start("alone", given);
  await alone.done;
  const run = await runs.start("watched", given, stoppingAt(400));
  const first = await watched(
    "watched",
    run.done.catch((error: unknown) => error),
  );
  expect(first.result).toBeInstanceOf(StoppedError);
  const second = await watched("watched", runs.goOn(run));
  expect(second.result).toMatchObject({ steps: 900 });
  expect(Math.min(first.looks, second.looks)).toBeGreaterThan(2);
  expect(Math.min(first.rows, second.rows)).toBeGreaterThan(0);
  expect(outcome(run.path)).toBe(outcome(alone.path));
  // The event file of TensorBoard has the time in its name.
  const files = (path: string) => readdirSync(path).map((name) => name.replace(/tfevents\.\d+/, "tfevents"));
  expect(files(run.path).sort()).toEqual(files(alone.path).sort());
});

test("watching leaves no trace: no file, no lock, no changed time", async () => {
  const stopped = await runs.start("stopped", {}, stoppingAt(100));
  await expect(stopped.done).rejects.toThrow(StoppedError);
  await (await runs.start("finished")).done;
  const before = traces();
  expect([...before.keys()].some((path) => /^stopped\/lock-\d+\.json$/.test(path))).toBe(true);
  for (const name of ["stopped", "finished", "stopped"]) {
    expect(await look(name)).toBeGreaterThan(0);
    expect((await fetch(`${server.url}runs`)).status).toBe(200);
  }
  expect(traces()).toEqual(before);
});
