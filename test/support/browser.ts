// A real headless Chromium for tests of pages. Without Chromium they are skipped.

import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";

const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/snap/bin/chromium",
];

/** Path of the browser; if there is none, the first place where it could be. */
const CHROMIUM = PLACES.find((path) => existsSync(path)) ?? PLACES[0]!;
export const hasChromium = existsSync(CHROMIUM);
if (!hasChromium)
  console.error(`pages: SKIPPED: no Chromium at ${CHROMIUM}: install Debian's package chromium`);

export interface OpenedPage {
  readonly page: Page;
  /** What the page logged as an error, or threw. */
  readonly errors: string[];
  /** Addresses that it asked for. */
  readonly requests: string[];
  close(): Promise<void>;
}

export interface BrowserOptions {
  /** Pixels of the window. */
  readonly width?: number;
  readonly height?: number;
  /** With Chromium's software adapter, SwiftShader; otherwise pages find no adapter. */
  readonly webGpu?: boolean;
  readonly colorScheme?: "light" | "dark";
  /** Whether the visitor prefers reduced motion: the playground then shows the end of its recorded race at once. */
  readonly reducedMotion?: boolean;
}

/** A page in a separate browser; closing the page closes the browser. */
export async function openBrowser(options: BrowserOptions = {}): Promise<OpenedPage> {
  const browser = await launchBrowser(options);
  return { ...(await openPage(browser, options)), close: () => browser.close() };
}

export function launchBrowser({ webGpu = false }: BrowserOptions): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    // The browser must not use the driver of the tests' process.
    env: { ...process.env, VK_DRIVER_FILES: undefined },
    args: ["--headless", "--no-sandbox", webGpu ? "--enable-unsafe-webgpu" : "--disable-gpu"],
  });
}

export async function openPage(
  browser: Browser,
  { width = 1200, height = 800, colorScheme = "light", reducedMotion = false }: BrowserOptions,
): Promise<OpenedPage> {
  const page = await browser.newPage({
    viewport: { width, height },
    colorScheme,
    reducedMotion: reducedMotion ? "reduce" : "no-preference",
  });
  const errors: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => requests.push(request.url()));
  // `browser.newPage` makes a separate context, which is closed with the page.
  return { page, errors, requests, close: () => page.close() };
}
