// The page of `watch`: what it serves, to whom, and what it draws in a real browser while a run continues.

import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { createRequire } from "node:module";
import { hostname, networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import type { AxeResults } from "axe-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLoopback } from "../../src/cli/local-server.ts";
import { MetricTail, startWatch, type WatchServer } from "../../src/cli/watch-server.ts";
import { shortNames } from "../../src/web/watch/short-names.ts";
import { hasChromium } from "../support/browser.ts";
import { limitMs } from "../support/limits.ts";
import { sharedBrowsers } from "../support/shared-browsers.ts";

const openPage = sharedBrowsers();
const root = mkdtempSync(join(tmpdir(), "ghostbatch-watch-"));
const runs = join(root, "runs");
let server: WatchServer;

function line(step: number, more: object = {}): string {
  return `${JSON.stringify({ kind: "train", step, epoch: step / 10, loss: 2 / step, learningRate: 0.1, distanceAll: Math.log(step + 1), imagesPerSecond: 900, ...more })}\n`;
}

function makeRun(name: string, steps: number, finished: boolean): string {
  const path = join(runs, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "config.yaml"), "seed: 0\n");
  const rows = Array.from({ length: steps }, (_, i) => line(i + 1)).join("");
  const evaluation = JSON.stringify({ kind: "evaluation", step: steps, testAccuracy: 91.5 });
  writeFileSync(join(path, "metrics.jsonl"), `${rows}${evaluation}\n`);
  if (finished) writeFileSync(join(path, "summary.json"), JSON.stringify({ accuracy: 91.5 }));
  return path;
}

beforeAll(async () => {
  const older = join(makeRun("done", 100, true), "metrics.jsonl");
  utimesSync(older, Date.now() / 1000 - 60, Date.now() / 1000 - 60);
  makeRun("going-on", 50, false);
  writeFileSync(join(root, "secret.txt"), "not for the page");
  server = await startWatch({ runsDirectory: runs, host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await server.close();
  rmSync(root, { recursive: true });
});

/** fetch does not let a test set Host or send a path unchanged. */
function ask(
  path: string,
  { method = "GET", headers = {} }: { method?: string; headers?: Record<string, string> } = {},
) {
  const { hostname, port } = new URL(server.url);
  return new Promise<{ status: number; body: string }>((resolve, reject) => {
    const asked = request({ hostname, port, path, method, headers }, (response) => {
      let body = "";
      response.on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode!, body }));
    });
    asked.on("error", reject).end();
  });
}

describe("answers", () => {
  test("the runs, newest first, with their results", async () => {
    const { status, body } = await ask("/runs");
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject([
      { name: "going-on", finished: false, accuracy: null },
      { name: "done", finished: true, accuracy: 91.5 },
    ]);
    // The other way round once the older run has newer metrics.
    const metrics = join(runs, "done", "metrics.jsonl");
    const { atime, mtime } = statSync(metrics);
    utimesSync(metrics, atime, Date.now() / 1000 + 60);
    const names = JSON.parse((await ask("/runs")).body).map(({ name }: { name: string }) => name);
    utimesSync(metrics, atime, mtime);
    expect(names).toEqual(["done", "going-on"]);
  });

  test("nothing to another host or origin, and only GET", async () => {
    const { port } = new URL(server.url);
    expect((await ask("/runs", { headers: { host: "evil.example" } })).status).toBe(403);
    expect((await ask("/runs", { headers: { host: `127.0.0.1:${Number(port) + 1}` } })).status).toBe(403);
    expect((await ask("/runs", { headers: { origin: "http://evil.example" } })).status).toBe(403);
    expect((await ask("/runs", { headers: { origin: `http://127.0.0.1:${port}` } })).status).toBe(200);
    expect((await ask("/runs", { headers: { host: `localhost:${port}` } })).status).toBe(200);
    for (const method of ["POST", "PUT", "DELETE"]) expect((await ask("/runs", { method })).status).toBe(405);
  });

  test("no file outside the page and the runs, whatever the path or the run's name", async () => {
    for (const path of [
      "/../secret.txt",
      "/%2e%2e/secret.txt",
      "/runs/../../secret.txt",
      "/secret.txt",
      "/done/metrics.jsonl",
    ]) {
      const { status, body } = await ask(path);
      expect(status).toBe(404);
      expect(body).not.toContain("not for the page");
    }
    const controller = new AbortController();
    const response = await fetch(`${server.url}events?run=${encodeURIComponent("../../secret.txt")}`, {
      signal: controller.signal,
    });
    const { value } = await response.body!.getReader().read();
    expect(new TextDecoder().decode(value)).not.toContain("not for the page");
    controller.abort();
  });

  test("a port in use is an error that says so", async () => {
    const port = Number(new URL(server.url).port);
    await expect(startWatch({ runsDirectory: runs, host: "127.0.0.1", port })).rejects.toThrow(
      /is in use: choose another --port/,
    );
  });

  test("on a wildcard address, all of the machine's own names reach it, and no other name", async () => {
    const local = server;
    server = await startWatch({ runsDirectory: runs, host: "0.0.0.0", port: 0 });
    try {
      const port = new URL(server.url).port;
      const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
      const addresses = own.filter(({ family }) => family === "IPv4").map(({ address }) => address);
      expect(addresses).toContain("127.0.0.1");
      for (const name of ["localhost", hostname(), ...addresses]) {
        expect([name, (await ask("/runs", { headers: { host: `${name}:${port}` } })).status]).toEqual([
          name,
          200,
        ]);
        expect(server.urls).toContain(`http://${name.toLowerCase()}:${port}/`);
      }
      for (const host of [`evil.example:${port}`, "localhost", `localhost:${Number(port) + 1}`])
        expect([host, (await ask("/runs", { headers: { host } })).status]).toEqual([host, 403]);
      const origin = "http://evil.example";
      expect((await ask("/runs", { headers: { host: `localhost:${port}`, origin } })).status).toBe(403);
    } finally {
      await server.close();
      server = local;
    }
  });

  test("an impossible port is an error, a missing folder is a warning", async () => {
    const host = "127.0.0.1";
    await expect(startWatch({ runsDirectory: runs, host, port: 99_999 })).rejects.toThrow(
      /--port 99999: expected 0 to 65535/,
    );
    const absent = await startWatch({ runsDirectory: join(root, "absent"), host, port: 0 });
    await absent.close();
    expect(absent.warnings).toEqual([expect.stringMatching(/the folder .*absent does not exist yet/)]);
    expect(server.warnings).toEqual([]);
  });

  test("loopback addresses are recognized", () => {
    expect(["127.0.0.1", "127.8.0.2", "::1", "localhost"].every(isLoopback)).toBe(true);
    expect(["0.0.0.0", "192.168.0.2", "::", "127.0.0.1.evil.example"].some(isLoopback)).toBe(false);
  });
});

test("a growing file is read from where it ended, in whole lines, and from the start after it was cut or replaced", async () => {
  const path = join(root, "tail.jsonl");
  writeFileSync(path, line(1) + line(2).slice(0, 20));
  const tail = new MetricTail(path);
  const steps = async () => (await tail.read()).map((row) => row["step"]);
  expect(await steps()).toEqual([1]);
  appendFileSync(path, line(2).slice(20) + line(3, { loss: "NaN" }));
  const rows = await tail.read();
  expect(rows.map((row) => [row["step"], row["loss"]])).toEqual([
    [2, 1],
    [3, null],
  ]);
  writeFileSync(path, line(1));
  expect(await steps()).toEqual([1]);
  // As a process does that takes a run over.
  writeFileSync(`${path}.tmp`, line(1) + line(2));
  renameSync(`${path}.tmp`, path);
  expect(await steps()).toEqual([1, 2]);
  for (const none of [join(root, "absent"), root]) expect(await new MetricTail(none).read()).toEqual([]);
});

test("names lose their common parts and their hashes, unless two would become the same", () => {
  const short = (...names: string[]) => [...shortNames(names).values()];
  expect(short("table1-f1-SB-small-seed0-3ad3e5a7afb8", "table1-f1-LB-small-seed0-1a755a2ff5ec")).toEqual([
    "SB",
    "LB",
  ]);
  expect(short("a-b-0123456789ab")).toEqual(["a-b"]);
  expect(short("rates-seed_1", "rates-seed_2", "other")).toEqual(["rates-seed_1", "rates-seed_2", "other"]);
  expect(short("x-0123456789ab", "x-0123456789ac")).toEqual(["x-0123456789ab", "x-0123456789ac"]);
  expect(short("a-1", "a-1-2")).toEqual(["1", "1-2"]);
  expect(short()).toEqual([]);
});

test.skipIf(!hasChromium)(
  "in a browser it draws the chosen runs and what is added to them, and logs no error",
  async () => {
    const { page, errors, requests, close } = await openPage({ width: 390, height: 844 });
    try {
      await page.goto(server.url);
      const boxes = page.getByRole("checkbox");
      await expect.poll(() => boxes.count(), { timeout: limitMs(30_000) }).toBe(2);
      // The page's own policy forbids evaluating text in it, as waitForFunction would.
      const points = async () => Number(await page.locator("body").getAttribute("data-points"));
      for (const name of ["going-on", "done"]) await page.getByRole("checkbox", { name }).setChecked(true);
      await expect.poll(points, { timeout: limitMs(30_000) }).toBe(150);
      expect(await page.locator(".uplot").count()).toBe(5);
      appendFileSync(
        join(runs, "going-on", "metrics.jsonl"),
        Array.from({ length: 10 }, (_, i) => line(51 + i)).join(""),
      );
      await expect.poll(points, { timeout: limitMs(30_000) }).toBe(160);
      expect(await page.locator("#runs label").allTextContents()).toEqual(
        expect.arrayContaining(["going-onrunning, step 60", "donefinished, 91.50 %, step 100"]),
      );
      expect(await page.locator("#status").textContent()).toBe("2 of 2 runs in the charts.");
      // No chart is wider than a phone.
      for (const chart of await page.locator(".uplot").all())
        expect((await chart.boundingBox())!.width).toBeLessThan(391);
      await page.getByRole("checkbox", { name: "done" }).setChecked(false);
      await expect.poll(points, { timeout: limitMs(30_000) }).toBe(60);
      // The filter decides what is listed, not what is drawn; the address holds both.
      await page.getByRole("searchbox").fill("do ne");
      expect(await boxes.count()).toBe(1);
      await page.getByRole("button", { name: "Show all listed" }).click();
      await expect.poll(points, { timeout: limitMs(30_000) }).toBe(100);
      const address = page.url();
      await page.goto("about:blank");
      await page.goto(address);
      await expect.poll(points, { timeout: limitMs(30_000) }).toBe(100);
      expect(await page.locator("#status").textContent()).toBe("1 of 2 runs in the charts, 1 listed.");
      expect(errors).toEqual([]);
      expect(requests.filter((url) => !url.startsWith(server.url) && !url.startsWith("data:"))).toEqual([]);
    } finally {
      await close();
    }
  },
);

test.skipIf(!hasChromium).each([
  ["light", 1366],
  ["dark", 390],
] as const)("labels, roles and contrast are right in %s colors at %i pixels", async (colorScheme, width) => {
  const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const { page, close } = await openPage({ colorScheme, width });
  try {
    await page.goto(server.url);
    await page
      .getByRole("checkbox")
      .first()
      .waitFor({ timeout: limitMs(30_000) });
    await page.evaluate(axe);
    const { violations } = (await page.evaluate("axe.run()")) as AxeResults;
    expect(violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)])).toEqual([]);
  } finally {
    await close();
  }
});
