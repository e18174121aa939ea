// The playground in a real headless Chromium on its software adapter.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LocalServer } from "../../src/cli/local-server.ts";
import type { SiteFiles } from "../../src/cli/page-files.ts";
import { playgroundFiles } from "../../src/cli/playground-files.ts";
import { startPlayground, writeSite } from "../../src/cli/playground-server.ts";
import { UsageError } from "../../src/support/errors.ts";
import type { Tracks } from "../../src/web/tracks.ts";
import { hasChromium } from "../support/browser.ts";
import { limitMs } from "../support/limits.ts";
import { runProgram } from "../support/program.ts";
import { sharedBrowsers } from "../support/shared-browsers.ts";

/** Chromium's software adapter as a driver for Node. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** Compiling takes a software adapter most of a minute. */
const LIMIT = limitMs(600_000);

const openPage = sharedBrowsers();
const root = mkdtempSync(join(tmpdir(), "ghostbatch-playground-"));
let files: SiteFiles;
let server: LocalServer;
beforeAll(async () => {
  files = await playgroundFiles();
  server = await startPlayground(files, { host: "127.0.0.1", port: 0 });
}, LIMIT);
afterAll(async () => {
  await server.close();
  rmSync(root, { recursive: true });
});

interface Results {
  readonly adapter: { readonly name: string; readonly software: boolean };
  readonly runs: readonly {
    readonly method: string;
    readonly command: string;
    readonly steps: number;
    readonly tracks: Tracks;
  }[];
}

/** Runs a race to its end. @returns the results that the page then offers for download */
async function runRace(page: Page, hash: string): Promise<Results> {
  await page.goto(`${server.url}#${hash}`);
  await page.getByRole("button", { name: "Start the race" }).click();
  await page.locator('body[data-race="finished"], #notice:not([hidden])').first().waitFor({ timeout: LIMIT });
  expect(await page.locator("#notice").isHidden(), await page.locator("#notice").innerText()).toBe(true);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "Results as JSON" }).click(),
  ]);
  return JSON.parse(readFileSync(await download.path(), "utf8")) as Results;
}

/** Runs in Node, on Chromium's adapter, the command that the page shows for a method, and compares every number. */
async function expectBitsOfNode({ command, tracks }: Results["runs"][number]): Promise<void> {
  const words = [...command.split(" ").slice(1), "--runs-dir", root, "--name", "in-node"];
  const { code, stderr } = await runProgram(words, { env: { VK_DRIVER_FILES: SWIFTSHADER } });
  expect(code, stderr).toBe(0);
  const lines = readFileSync(join(root, "in-node", "metrics.jsonl"), "utf8")
    .trim()
    .split("\n");
  const rows = lines.map((line) => JSON.parse(line) as Record<string, number | string>);
  const columnOf = (name: string) =>
    rows.map((row) => row[name]).filter((value) => typeof value === "number");
  expect(tracks.loss.values).toEqual(columnOf("loss"));
  expect(tracks.loss.values).toHaveLength(8);
  expect(tracks.distance.values).toEqual(columnOf("distanceAll"));
  expect(tracks.accuracy.values).toEqual(columnOf("testAccuracy"));
}

describe("files", () => {
  test("page and race worker are below 150 KB compressed, the images below 1.5 MB", () => {
    const race = [...files].filter(([path]) => /^(index\.html|assets\/(index|race-worker)-.*)$/.test(path));
    expect(race).toHaveLength(4);
    const bytes = race.reduce((sum, [, content]) => sum + gzipSync(content, { level: 9 }).length, 0);
    expect(bytes).toBeLessThan(150 * 1024);
    expect(files.get("mnist.gz")!.length).toBeLessThan(1.5e6);
  });

  test("the page refers to its own files only by relative addresses", () => {
    const page = Buffer.from(files.get("index.html")!).toString();
    expect(page).toMatch(/src="\.\/assets\//);
    expect(page).not.toMatch(/(src|href)="\//);
  });

  test("a site is written into a new folder or over an earlier build, never over other files", async () => {
    const folder = join(root, "site");
    await writeSite(files, folder);
    await writeSite(files, folder);
    expect(readdirSync(folder).sort()).toEqual(["assets", "index.html", "mnist.gz"]);
    await expect(writeSite(files, root)).rejects.toThrow(UsageError);
  });
});

describe.skipIf(!hasChromium)("in Chromium", () => {
  test("five methods take 8 steps in turn; the small batch's have the bits of its command in Node on the same adapter", {
    timeout: LIMIT,
  }, async () => {
    const { page, errors, requests, close } = await openPage({ webGpu: true, width: 390 });
    try {
      const { adapter, runs } = await runRace(page, "batch=128&width=32&steps=8");
      expect(adapter).toMatchObject({ software: true });
      expect(runs.map(({ method, steps }) => [method, steps])).toEqual(
        ["SB", "LB", "+LR", "+GBN", "+RA"].map((method) => [method, 8]),
      );
      const first = (method: string) => runs.find((run) => run.method === method)!.tracks.loss.values[0];
      // With the same first batch and plain batch norm, the first loss does not depend on the rate. Ghosts and a smaller batch change it.
      expect(first("+LR")).toBe(first("LB"));
      expect(first("+RA")).toBe(first("+GBN"));
      expect(new Set([first("SB"), first("LB"), first("+GBN")]).size).toBe(3);
      expect(await page.locator("#results tbody tr").count()).toBe(5);
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(390);
      const commands = await page.locator("#commands").innerText();
      expect(commands.split("\n")).toEqual(runs.map(({ command }) => command));
      expect(requests.filter((url) => !/^(data|blob):/.test(url) && !url.startsWith(server.url))).toEqual([]);
      expect(errors).toEqual([]);
      await expectBitsOfNode(runs[0]!);
    } finally {
      await close();
    }
  });

  test("without an adapter the page says so and plays the recorded race", { timeout: LIMIT }, async () => {
    const { page, errors, close } = await openPage();
    try {
      await page.clock.install();
      await page.goto(server.url);
      const notice = page.getByRole("alert");
      await notice.waitFor();
      expect(await notice.innerText()).toMatch(/WebGPU/);
      await page.getByText("The recorded race plays.").waitFor();
      // Instead of waiting ten seconds for the drawing, the test moves the page's clock forward.
      await page.clock.fastForward(10_000);
      await page.getByText("The recorded race has ended.").waitFor({ timeout: limitMs(60_000) });
      expect(await page.locator("#source").innerText()).toMatch(
        /^Recorded, not computed here: .* on llvmpipe/,
      );
      expect(await page.locator("#results tbody").innerText()).toMatch(/1,536 of 1,536/);
      expect(await page.getByRole("img", { name: /Test accuracy.*SB 9\d.*\+RA 9\d/ }).count()).toBe(1);
      expect(errors).toEqual([]);
    } finally {
      await close();
    }
  });

  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal);
  test.skipIf(!own)("at an insecure address the page says so", { timeout: LIMIT }, async () => {
    const outside = await startPlayground(files, { host: own!.address, port: 0 });
    const { page, close } = await openPage({ webGpu: true });
    try {
      await page.goto(outside.url);
      await page.getByText(/only on secure addresses/).waitFor();
    } finally {
      await close();
      await outside.close();
    }
  });

  // Last, because it leaves a kernel that never ends on the browser's adapter.
  describe("the bench tab", () => {
    /** Enters a kernel in place of channel-bias/add. @returns the page's report on it */
    async function checkKernel(
      page: Page,
      code: string,
      meanwhile = async (): Promise<void> => undefined,
    ): Promise<string> {
      await page.locator("#own-as").selectOption("channel-bias/add");
      await page.locator("#own-code").fill(code);
      await page.getByRole("button", { name: "Check and time it" }).click();
      await meanwhile();
      await page.locator("#own-report p").first().waitFor({ timeout: LIMIT });
      await page.locator('body[data-bench="idle"]').waitFor({ timeout: LIMIT });
      return page.locator("#own-report").innerText();
    }

    test("reports what is wrong with a pasted kernel, stops one that never ends, and continues", {
      timeout: LIMIT,
    }, async () => {
      const { page, errors, close } = await openPage({ webGpu: true });
      try {
        await page.clock.install();
        await page.goto(`${server.url}#tab=bench`);
        await page.locator("#own-as").selectOption("channel-bias/add");
        await page.getByRole("button", { name: "Show the built-in kernel" }).click();
        await expect.poll(() => page.locator("#own-code").inputValue()).toContain("// channel-bias/add");
        const right = await page.locator("#own-code").inputValue();

        expect(await checkKernel(page, right)).toMatch(/Right as channel-bias\/add/);
        expect(await checkKernel(page, right.replace(/(y\[\w+\] = )/, "$1missing + "))).toMatch(
          /does not compile: .*your-kernel\.wgsl:\d+:\d+: unresolved value 'missing'/,
        );
        expect(await checkKernel(page, right.replace(/(y\[\w+\] = )/, "$11.0 + "))).toMatch(
          /Not right .*: 0 of/,
        );
        const endless = right.replace(
          "if (i < SIZE)",
          "var n = 1u;\n  loop { n = n * 3u + SIZE; if (n == 0u) { break; } }\n  if (i < SIZE + n)",
        );
        // Once it runs, move the page's clock forward by the minute after which the page gives up the device.
        const giveUp = async () => {
          await page.getByText(/^checking channel-bias/).waitFor({ timeout: LIMIT });
          await page.clock.fastForward("01:00");
        };
        expect(await checkKernel(page, endless, giveUp)).toMatch(
          /no end after 60 s while checking channel-bias|device lost/,
        );
        expect(await page.getByRole("tab", { name: "Race" }).isEnabled()).toBe(true);
        expect(errors).toEqual([]);
      } finally {
        await close();
      }
    });
  });
});
