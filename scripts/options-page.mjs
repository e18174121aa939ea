// Writes docs/OPTIONS.md from the table of run options; with --check, says whether the file matches the table.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { register } from "tsx/esm/api";

register();
const { optionsPage } = await import("../src/run/option-text.ts");
const path = fileURLToPath(new URL("../docs/OPTIONS.md", import.meta.url));
if (!process.argv.includes("--check")) writeFileSync(path, optionsPage());
else if (readFileSync(path, "utf8") !== optionsPage()) {
  console.error("docs/OPTIONS.md: does not match src/run/run-options.ts; run `npm run docs`");
  process.exitCode = 1;
}
