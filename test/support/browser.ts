// A real headless Chromium for the pages that people open; tests that need it are skipped where there is none.

import { existsSync } from "node:fs";
import { chromium, type Page } from "playwright-core";

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
}

export async function openBrowser({
  width = 1200,
  height = 800,
  webGpu = false,
  colorScheme = "light",
}: BrowserOptions = {}): Promise<OpenedPage> {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    // The driver that the tests' own process uses is not for the browser's GPU.
    env: { ...process.env, VK_DRIVER_FILES: undefined },
    args: ["--headless", "--no-sandbox", webGpu ? "--enable-unsafe-webgpu" : "--disable-gpu"],
  });
  const page = await browser.newPage({ viewport: { width, height }, colorScheme });
  const errors: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => requests.push(request.url()));
  return { page, errors, requests, close: () => browser.close() };
}
