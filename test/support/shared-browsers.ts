// The pages of a test file in two browsers at most: starting one takes two seconds of processor time.
import type { Browser } from "playwright-core";
import { afterAll } from "vitest";
import { type BrowserOptions, launchBrowser, type OpenedPage, openPage } from "./browser.ts";

/**
 * Opens pages, each as a new visitor's. Those that need WebGPU share a browser, and so do the others; both are closed after the tests
 * of the file that calls this.
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
