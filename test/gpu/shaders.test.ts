// Every .wgsl file belongs to a kernel, begins with what it computes, and has no races if lanes share memory.

import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { definedKernels } from "../../src/gpu/kernel.ts";
import { parseShader } from "../../src/gpu/shader.ts";
import { shaderFiles } from "../../src/host/node/shader-files.ts";
import { raceCases } from "../cases/races.ts";
import { barrierCount, findRaces, sharesMemory } from "../support/race-check.ts";

const ROOT = new URL("../../", import.meta.url);
const files = (readdirSync(new URL("shaders/", ROOT), { recursive: true }) as string[])
  .filter((file) => file.endsWith(".wgsl"))
  .map((file) => file.replaceAll("\\", "/"));
const kernels = files.filter((file) => !file.startsWith("lib/"));

beforeAll(async () => {
  for (const file of readdirSync(new URL("src/kernels/", ROOT)))
    await import(new URL(`src/kernels/${file}`, ROOT).href);
  await import("../../src/gpu/roofline.ts");
});

test("every kernel file belongs to a kernel, and every library is imported", () => {
  const owned = new Set(definedKernels().map(({ file }) => file));
  expect(kernels.filter((file) => !owned.has(file))).toEqual([]);
  const imported = new Set(kernels.flatMap((file) => parseShader(file, shaderFiles).imports));
  expect(files.filter((file) => file.startsWith("lib/") && !imported.has(file))).toEqual([]);
});

describe.each(files)("%s", (file) => {
  const code = readFileSync(new URL(`shaders/${file}`, ROOT), "utf8");

  test("begins with its name and what it computes, and a kernel states its dispatch", () => {
    expect(code.startsWith(`// ${file.replace(/\.wgsl$/, "")}: `)).toBe(true);
    if (!file.startsWith("lib/")) expect(code).toMatch(/^\/\/ Dispatch: /m);
  });
});

describe("races", () => {
  const sharing = kernels.filter(sharesMemory);

  test("every kernel whose lanes share memory has a case", () => {
    expect(Object.keys(raceCases).sort()).toEqual(sharing.sort());
  });

  // Barriers at the end of a sum, which allow its scratch memory to be used again. Only kernels that call it twice need them.
  const UNUSED_HERE: Record<string, number> = {
    "channel-bias/grad-bias.wgsl": 2,
    "softmax-cross-entropy/loss-and-grad-row.wgsl": 4,
    "l2-distance/partial.wgsl": 2,
    "l2-distance/finish.wgsl": 2,
    "clip/coefficient.wgsl": 2,
    "reduce/sum-of-squares.wgsl": 2,
    "ghost-batch-norm/statistics.wgsl": 2,
    "ghost-batch-norm/grad-statistics.wgsl": 2,
    "ghost-batch-norm/grad-statistics-add.wgsl": 2,
    "ghost-batch-norm/forward-dense.wgsl": 2,
    "ghost-batch-norm/statistics-merge.wgsl": 2,
    "ghost-batch-norm/normalize-merged.wgsl": 2,
    "ghost-batch-norm/grad-input.wgsl": 2,
  };

  test.each(sharing.filter((file) => file in raceCases))(
    "%s has none, and removing any of its barriers causes one",
    (file) => {
      const one = raceCases[file]!;
      expect(findRaces(file, one)).toEqual({ findings: [], unwritten: [] });
      for (let barrier = 0; barrier < barrierCount(file); barrier++) {
        const { findings } = findRaces(file, one, barrier);
        if (barrier === UNUSED_HERE[file]) continue;
        expect(findings.join("\n"), `without barrier ${barrier}`).toMatch(/Data race on '\w+'/);
      }
    },
  );
});
