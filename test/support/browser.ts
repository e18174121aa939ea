// A real headless Chromium for the pages that people open; tests that need it are skipped where there is none.

import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";

const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/snap/bin/chromium",
];

/** Where the browser is; the first place where it might be if it is in none. */
const CHROMIUM = PLACES.find((path) => existsSync(path)) ?? PLACES[0]!;
/** Where it is false, whoever imports this says so. */
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
  /** With SwiftShader, Chromium's software adapter; without it pages find no adapter. */
  readonly webGpu?: boolean;
  readonly colorScheme?: "light" | "dark";
  /** Whether the visitor asks for no motion: the playground then shows its recorded race at once as it ends. */
  readonly reducedMotion?: boolean;
}

/** A page in a browser of its own, which is closed with it. */
export async function openBrowser(options: BrowserOptions = {}): Promise<OpenedPage> {
  const browser = await launchBrowser(options);
  return { ...(await openPage(browser, options)), close: () => browser.close() };
}

export function launchBrowser({ webGpu = false }: BrowserOptions): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    // The driver that the tests' own process uses is not for the browser's GPU.
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
  // A page that a browser opens by itself has a context of its own, which is closed with it.
  return { page, errors, requests, close: () => page.close() };
}
