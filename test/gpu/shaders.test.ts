// Every .wgsl file: owned by a kernel, opening with what it computes, and free of races where lanes share memory.

import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { definedKernels } from "../../src/gpu/kernel.ts";
import { parseShader } from "../../src/gpu/shader.ts";
import { shaderFiles } from "../../src/host/shader-files.ts";

const ROOT = new URL("../../", import.meta.url);
const files = (readdirSync(new URL("shaders/", ROOT), { recursive: true }) as string[])
  .filter((file) => file.endsWith(".wgsl"))
  .map((file) => file.replaceAll("\\", "/"));
const kernels = files.filter((file) => !file.startsWith("lib/"));

beforeAll(async () => {
  for (const file of readdirSync(new URL("src/kernels/", ROOT))) await import(new URL(`src/kernels/${file}`, ROOT).href);
});

test("every kernel file is owned, every library imported", () => {
  const owned = new Set(definedKernels().map(({ file }) => file));
  expect(kernels.filter((file) => !owned.has(file))).toEqual([]);
  const imported = new Set(kernels.flatMap((file) => parseShader(file, shaderFiles).parts.map(({ path }) => path)));
  expect(files.filter((file) => file.startsWith("lib/") && !imported.has(file))).toEqual([]);
});

describe.each(files)("%s", (file) => {
  const code = readFileSync(new URL(`shaders/${file}`, ROOT), "utf8");

  test("opens with its name and what it computes, and says its dispatch", () => {
    expect(code.startsWith(`// ${file.replace(/\.wgsl$/, "")}: `)).toBe(true);
    if (!file.startsWith("lib/")) expect(code).toMatch(/^\/\/ Dispatch: /m);
  });
});
