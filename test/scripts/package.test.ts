// The package as published, used by a user's program.
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ended, start } from "../support/program.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "ghostbatch-package-"));
afterAll(() => rmSync(folder, { recursive: true }));
const consumer = join(folder, "consumer");

function compile(options: readonly string[], cwd: string): Promise<Ended> {
  return start(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), ...options], { cwd }).ended;
}

beforeAll(async () => {
  const published = join(folder, "ghostbatch");
  mkdirSync(join(consumer, "node_modules"), { recursive: true });
  const built = await compile(
    ["-p", join(ROOT, "tsconfig.build.json"), "--outDir", join(published, "dist")],
    ROOT,
  );
  expect(built).toMatchObject({ code: 0, stdout: "" });
  copyFileSync(join(ROOT, "package.json"), join(published, "package.json"));
  for (const part of ["shaders", "node_modules"]) symlinkSync(join(ROOT, part), join(published, part), "dir");

  writeFileSync(join(consumer, "package.json"), '{ "type": "module" }\n');
  copyFileSync(join(ROOT, "examples/own-network.ts"), join(consumer, "own-network.ts"));
  symlinkSync(published, join(consumer, "node_modules/ghostbatch"), "dir");
  symlinkSync(join(ROOT, "node_modules/@types"), join(consumer, "node_modules/@types"), "dir");
});

/** Uses types of both entry points, one of them wrongly. */
const TYPED = `import { type Gpu, planEpoch, type Tensor } from "ghostbatch";
import { openGpu } from "ghostbatch/node";
export const steps: number = planEpoch({ samples: 100, batchSize: 10, ghostSize: 5, policy: "exact" }).stepsPerEpoch;
export const opened: Promise<Gpu> = openGpu({ adapter: "software" });
export type Shape = Tensor["shape"];
// @ts-expect-error a number is no name
void openGpu({ adapter: 3 });
`;

test.each([
  ["nodenext", ["--module", "nodenext"]],
  ["bundler", ["--module", "esnext", "--moduleResolution", "bundler"]],
])("types of both entry points resolve under %s", async (name, options) => {
  const file = `typed-${name}.ts`;
  writeFileSync(join(consumer, file), TYPED);
  const strict = ["--strict", "--target", "es2023", "--noEmit", "--types", "node"];
  expect(await compile([...options, ...strict, file], consumer)).toMatchObject({ code: 0, stdout: "" });
});

test("a program that imports the package trains its own network", async () => {
  const options = [
    "--module",
    "nodenext",
    "--target",
    "es2023",
    "--strict",
    "--types",
    "node",
    "own-network.ts",
  ];
  expect(await compile(options, consumer)).toMatchObject({ code: 0, stdout: "" });
  const program = ["own-network.js", "synthetic:1x28x28:10:2048:512"];
  const { code, stdout, stderr } = await start(process.execPath, program, { cwd: consumer }).ended;
  expect(code, stderr).toBe(0);
  const last = Number(/^epoch 4: ([\d.]+) %/m.exec(stdout)?.[1]);
  expect(last).toBeGreaterThan(50);
});

test("the files that its messages name are published", async () => {
  const packed = await start("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: ROOT }).ended;
  const [{ files }] = JSON.parse(packed.stdout) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  for (const named of [
    ...["docs/WRITING-A-KERNEL.md", "docs/OPTIONS.md", "docs/RELIABILITY.md", "docs/PAPER.md"],
    ...["examples/conv2d-direct.wgsl", "test/golden/ops.safetensors", "bin/end-with-parent.mjs"],
  ])
    expect(paths).toContain(named);
});

test("without an adapter the package says what it cannot do; a moved checkout says what to run", async () => {
  // A separate folder, because the package finds its files by their real paths.
  const place = join(folder, "elsewhere");
  mkdirSync(place);
  for (const part of ["dist", "package.json"])
    cpSync(join(folder, "ghostbatch", part), join(place, part), { recursive: true });
  cpSync(join(ROOT, "bin"), join(place, "bin"), { recursive: true });
  for (const part of ["shaders", "node_modules"]) symlinkSync(join(ROOT, part), join(place, part), "dir");
  const trained = async () => {
    const env = { VK_DRIVER_FILES: "/nonexistent" };
    const ended = await start(process.execPath, [join(place, "bin/ghostbatch.mjs"), "train"], { env }).ended;
    return [ended.code, ended.stderr];
  };
  expect(await trained()).toEqual([
    3,
    expect.stringMatching(/no GPU adapter: .*the package cannot; or install/),
  ]);
  mkdirSync(join(place, "scripts"));
  writeFileSync(join(place, "scripts", "setup.mjs"), "");
  mkdirSync(join(place, ".software-gpu"));
  writeFileSync(join(place, ".software-gpu", "complete.json"), '{ "folder": "/before/.software-gpu" }');
  expect(await trained()).toEqual([
    3,
    expect.stringMatching(
      /this checkout was moved or copied: .*\/before\/.software-gpu; run `npm run setup` in \S+elsewhere to adapt it/,
    ),
  ]);
});
