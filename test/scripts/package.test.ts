import { copyFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { start } from "../support/program.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("the package as it is published: a program that imports it trains a network of its own", async () => {
  const folder = temporaryFolder();
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const build = ["-p", join(root, "tsconfig.build.json"), "--outDir", join(folder, "dist")];
  expect(await start(process.execPath, [compiler, ...build]).ended).toMatchObject({ code: 0 });
  copyFileSync(join(root, "package.json"), join(folder, "package.json"));
  copyFileSync(join(root, "examples/own-network.ts"), join(folder, "own-network.ts"));
  for (const part of ["shaders", "node_modules"]) symlinkSync(join(root, part), join(folder, part), "dir");

  const program = ["--import", "tsx", "own-network.ts", "synthetic:1x28x28:10:2048:512"];
  const { code, stdout, stderr } = await start(process.execPath, program, { cwd: folder }).ended;
  expect(code, stderr).toBe(0);
  const last = Number(/^epoch 4: ([\d.]+) %/m.exec(stdout)?.[1]);
  expect(last).toBeGreaterThan(50);
});
