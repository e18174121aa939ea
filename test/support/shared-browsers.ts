// The pages of a test file in at most two browsers: starting one takes two seconds of CPU time.
import type { Browser } from "playwright-core";
import { afterAll } from "vitest";
import { type BrowserOptions, launchBrowser, type OpenedPage, openPage } from "./browser.ts";

/**
 * Opens pages, each like a new visitor's. Those that need WebGPU share a browser, and so do the others. Both are closed after the
 * tests of the calling file.
 */
export function sharedBrowsers(): (options?: BrowserOptions) => Promise<OpenedPage> {
  const browsers = new Map<boolean, Promise<Browser>>();
  afterAll(async () => {
    for (const browser of browsers.values()) await (await browser).close();
  });
  return async (options = {}) => {
    const { webGpu = false } = options;
    const browser = browsers.get(webGpu) ?? launchBrowser(options);
    browsers.set(webGpu, browser);
    return openPage(await browser, options);
  };
}
