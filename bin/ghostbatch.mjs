#!/usr/bin/env node
// Starts the command line: from its TypeScript in a checkout, from dist/ in the published package.
import "./end-with-parent.mjs";
import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";

const source = new URL("../src/cli/main.ts", import.meta.url);

if (!existsSync(source)) {
  await import(new URL("../dist/cli/main.js", import.meta.url).href);
} else if (!existsSync(new URL("../node_modules/esbuild", import.meta.url))) {
  console.error("ghostbatch: the packages are not installed: run `npm run setup`");
  process.exitCode = 2;
} else {
  const { currentProgram } = await import(new URL("../scripts/program.mjs", import.meta.url).href);
  const program = await currentProgram();
  if (program === null) {
    const { register } = await import("tsx/esm/api");
    register();
  } else {
    // Stack traces name the lines of the sources.
    process.setSourceMapsEnabled(true);
  }
  await import(program === null ? source.href : pathToFileURL(program).href);
}
