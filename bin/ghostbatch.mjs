#!/usr/bin/env node
// Starts the command line: from its TypeScript in a checkout, from dist/ in the published package.
import "./end-with-parent.mjs";
import { existsSync } from "node:fs";

const source = new URL("../src/cli/main.ts", import.meta.url);

if (!existsSync(source)) {
  await import(new URL("../dist/cli/main.js", import.meta.url).href);
} else if (!existsSync(new URL("../node_modules/tsx", import.meta.url))) {
  console.error("ghostbatch: the packages are not installed: run `npm run setup`");
  process.exitCode = 2;
} else {
  const { register } = await import("tsx/esm/api");
  register();
  await import(source.href);
}
