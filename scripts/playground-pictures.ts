// Takes the pictures of the playground in docs/images, with the recorded race:
// node --import tsx scripts/playground-pictures.ts [FOLDER]
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { playgroundFiles } from "../src/cli/playground-files.ts";
import { startPlayground } from "../src/cli/playground-server.ts";
import { openBrowser } from "../test/support/browser.ts";

const [folder = "docs/images"] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });

const VIEWS = [
  { name: "playground.png", options: { width: 1280, height: 1690 } },
  { name: "playground-phone.png", options: { width: 390, height: 1688, colorScheme: "dark" } },
] as const;

const server = await startPlayground(await playgroundFiles(), { host: "127.0.0.1", port: 0 });
for (const { name, options } of VIEWS) {
  const { page, errors, close } = await openBrowser({ ...options, webGpu: true });
  // With reduced motion the whole recording is drawn at once.
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.goto(server.url);
  await page.getByRole("button", { name: "Play the recorded race" }).click();
  await page.getByText("The recorded race has ended.").waitFor();
  await page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))");
  await page.screenshot({ path: join(folder, name) });
  await close();
  if (errors.length > 0) throw new Error(errors.join("; "));
}
await server.close();
