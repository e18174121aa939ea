// The playground's controls, keyboard and accessibility, and what happens with a weak or lost device.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import type { SiteFiles } from "../../src/cli/page-files.ts";
import { playgroundFiles } from "../../src/cli/playground-files.ts";
import { hasChromium } from "../support/browser.ts";
import { limitMs } from "../support/limits.ts";
import { sharedBrowsers } from "../support/shared-browsers.ts";
import { staticSite } from "../support/static-site.ts";

/** Compiling takes a software adapter most of a minute. */
const LIMIT = limitMs(600_000);
const openPage = sharedBrowsers();
const PREFIX = "/reading/group/";

let files: SiteFiles;
beforeAll(async () => {
  files = await playgroundFiles();
}, LIMIT);

/** Puts `code` before the code of the race's worker, to imitate another browser. */
async function beforeWorker(page: Page, code: string): Promise<void> {
  await page.route(/race-worker-.*\.js$/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${code}\n${await response.text()}` });
  });
}

describe.skipIf(!hasChromium)("in Chromium", () => {
  test("a site in a subfolder: pause, single steps, continuing by keyboard, reset", {
    timeout: LIMIT,
  }, async () => {
    const address = await staticSite(files, PREFIX);
    const { page, errors, requests, close } = await openPage({ webGpu: true });
    const click = (name: string) => page.getByRole("button", { name, exact: true }).click();
    const status = (text: RegExp) =>
      page.locator("#status").filter({ hasText: text }).waitFor({ timeout: LIMIT });
    const steps = () => page.locator("#results tbody tr").first().locator("td").nth(5).innerText();
    const losses = () => page.getByRole("img", { name: /^Training loss/ }).getAttribute("aria-label");
    try {
      await page.goto(`${address}#methods=LB&batch=128&width=32&steps=6`);
      await page.evaluate(`
        globalThis.blockedMs = 0;
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) globalThis.blockedMs += duration;
        }).observe({ type: "longtask" });
        globalThis.beganMs = performance.now();
      `);
      await click("Start the race");
      await click("Pause");
      await status(/^Paused after 0 steps/);
      const before = await losses();
      await click("One step");
      await status(/^Paused after 1 step of/);
      expect(await steps()).toBe("1 of 6");
      expect(await losses()).not.toBe(before);
      await click("One step");
      await status(/^Paused after 2 steps/);
      expect(await steps()).toBe("2 of 6");

      await page.getByRole("button", { name: "Go on" }).focus();
      await page.keyboard.press("Enter");
      await status(/^Finished after/);
      expect(await steps()).toBe("6 of 6");
      // Frames do not wait for training: for most of the time since the click the page itself was idle.
      expect(
        await page.evaluate("globalThis.blockedMs / (performance.now() - globalThis.beganMs)"),
      ).toBeLessThan(0.3);

      await click("Reset");
      expect(await page.locator("#status").innerText()).toBe("Nothing runs yet.");
      expect(await steps()).toBe("");
      expect(await page.getByRole("button", { name: "Start the race" }).isEnabled()).toBe(true);
      expect(requests.filter((url) => !/^(data|blob):/.test(url) && !url.startsWith(address))).toEqual([]);
      expect(errors).toEqual([]);
    } finally {
      await close();
    }
  });

  test("an adapter with too few storage buffers gives a message, and the recorded race plays", {
    timeout: LIMIT,
  }, async () => {
    const { page, close } = await openPage({ webGpu: true });
    try {
      await beforeWorker(
        page,
        `const { get } = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, "limits");
        Object.defineProperty(GPUAdapter.prototype, "limits", {
          get() {
            return new Proxy(get.call(this), {
              get: (limits, name) => (name === "maxStorageBuffersPerShaderStage" ? 4 : Reflect.get(limits, name, limits)),
            });
          },
        });`,
      );
      await page.goto(`${await staticSite(files, PREFIX)}#methods=SB&steps=1`);
      await page.getByRole("button", { name: "Start the race" }).click();
      const notice = page.getByRole("alert");
      await notice.waitFor({ timeout: LIMIT });
      expect(await notice.innerText()).toMatch(
        /offers 4 storage buffers .* binds \d+: use another browser or GPU/,
      );
      expect(await page.locator("#source").innerText()).toMatch(/^Recorded, not computed here/);
    } finally {
      await close();
    }
  });

  test("a device lost in the middle of a race gives a message, and the page can start again", {
    timeout: LIMIT,
  }, async () => {
    const { page, close } = await openPage({ webGpu: true });
    try {
      await beforeWorker(
        page,
        `const open = GPUAdapter.prototype.requestDevice;
        let device;
        GPUAdapter.prototype.requestDevice = async function (asked) { return (device = await open.call(this, asked)); };
        const post = self.postMessage.bind(self);
        self.postMessage = (message) => { post(message); if (message.kind === "first step") device.destroy(); };`,
      );
      await page.goto(`${await staticSite(files, PREFIX)}#methods=LB&batch=128&width=32`);
      await page.getByRole("button", { name: "Start the race" }).click();
      const notice = page.getByRole("alert");
      await notice.waitFor({ timeout: LIMIT });
      expect(await notice.innerText()).toMatch(/device lost .*Start the race again/);
      expect(await page.locator("#status").innerText()).toBe("The race has failed.");
      expect(await page.getByRole("button", { name: "Start the race" }).isEnabled()).toBe(true);
    } finally {
      await close();
    }
  });

  test.each([
    ["light", 1200],
    ["dark", 390],
  ] as const)(
    "labels, roles and contrast are correct in %s colors at %i pixels",
    { timeout: LIMIT },
    async (colorScheme, width) => {
      const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
      const { page, close } = await openPage({ colorScheme, width, reducedMotion: true });
      try {
        const address = await staticSite(files, PREFIX);
        for (const tab of ["race", "bench"]) {
          await page.goto("about:blank");
          await page.goto(`${address}#tab=${tab}`);
          await page.getByRole("alert").waitFor();
          await page.evaluate(axe);
          const { violations } = (await page.evaluate("axe.run()")) as AxeResults;
          const found = violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]);
          expect(found, tab).toEqual([]);
        }
      } finally {
        await close();
      }
    },
  );

  test("Tab reaches every control, and arrow keys move between the tabs", { timeout: LIMIT }, async () => {
    const { page, close } = await openPage({ reducedMotion: true });
    try {
      await page.goto(await staticSite(files, PREFIX));
      await page.getByRole("alert").waitFor();
      const reached = new Set<string>();
      for (let presses = 0; presses < 40; presses++) {
        await page.keyboard.press("Tab");
        reached.add(await page.evaluate("document.activeElement.id || document.activeElement.name || ''"));
      }
      for (const name of [
        "tab-race",
        "methods",
        "batch",
        "seed",
        "start",
        "recording",
        "axis",
        "copy",
        "link",
      ])
        expect(reached).toContain(name);
      await page.getByRole("tab", { name: "Race" }).focus();
      await page.keyboard.press("ArrowRight");
      expect(await page.getByRole("tab", { name: "Kernels" }).getAttribute("aria-selected")).toBe("true");
      expect(await page.getByRole("tabpanel", { name: "Kernels" }).isVisible()).toBe(true);
    } finally {
      await close();
    }
  });
});
