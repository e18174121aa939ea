import { expect, test } from "vitest";
import { adapterFacts } from "../../src/gpu/adapter.ts";
import { matrixSizes } from "../../src/gpu/matrices.ts";

function info(known: Partial<GPUAdapterInfo>): GPUAdapterInfo {
  const unknown = { vendor: "", architecture: "", device: "", description: "", isFallbackAdapter: false };
  return { ...unknown, ...known } as GPUAdapterInfo;
}

test.each([
  [
    "Chromium's SwiftShader, which gives only its architecture",
    { vendor: "google", architecture: "swiftshader" },
    true,
  ],
  ["lavapipe in Dawn", { description: "llvmpipe (LLVM 21.1.8, 256 bits)", architecture: "software" }, true],
  ["Windows' software adapter", { description: "Microsoft Basic Render Driver" }, true],
  [
    "a fallback adapter with any name",
    { vendor: "acme", architecture: "one", isFallbackAdapter: true },
    true,
  ],
  ["a GPU in a browser", { vendor: "nvidia", architecture: "ampere" }, false],
  ["a GPU without any information", {}, false],
])("%s: software %o", (_, known, software) => {
  expect(adapterFacts(info(known)).software).toBe(software);
});

test("of an adapter's matrix sizes, those with f32 sums are used, and of these the f16 ones if there are any", () => {
  const listed = (...rows: [string, string, number, number, number][]) =>
    matrixSizes({
      subgroupMatrixConfigs: rows.map(([componentType, resultComponentType, M, N, K]) => ({
        ...{ componentType, resultComponentType, M, N, K },
      })),
    } as unknown as GPUAdapterInfo);
  const nvidia = listed(["i8", "i32", 16, 16, 32], ["f16", "f16", 16, 8, 16], ["f16", "f32", 16, 8, 16]);
  expect(nvidia).toEqual([{ M: 16, N: 8, K: 16, component: "f16" }]);
  expect(listed(["f16", "f16", 8, 8, 8], ["f32", "f32", 8, 8, 8])).toEqual([
    { M: 8, N: 8, K: 8, component: "f32" },
  ]);
  expect(listed(["f32", "f32", 8, 8, 8], ["f16", "f32", 8, 8, 8])).toHaveLength(1);
  expect(matrixSizes({} as GPUAdapterInfo)).toEqual([]);
});
