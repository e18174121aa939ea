import { expect, test } from "vitest";
import { adapterFacts } from "../../src/gpu/adapter.ts";

function info(known: Partial<GPUAdapterInfo>): GPUAdapterInfo {
  const unknown = { vendor: "", architecture: "", device: "", description: "", isFallbackAdapter: false };
  return { ...unknown, ...known } as GPUAdapterInfo;
}

test.each([
  [
    "Chromium's SwiftShader, which names its architecture alone",
    { vendor: "google", architecture: "swiftshader" },
    true,
  ],
  ["lavapipe in Dawn", { description: "llvmpipe (LLVM 21.1.8, 256 bits)", architecture: "software" }, true],
  ["Windows' software adapter", { description: "Microsoft Basic Render Driver" }, true],
  ["a fallback adapter of any name", { vendor: "acme", architecture: "one", isFallbackAdapter: true }, true],
  ["a GPU in a browser", { vendor: "nvidia", architecture: "ampere" }, false],
  ["a GPU that nothing is known of", {}, false],
])("%s: software %o", (_, known, software) => {
  expect(adapterFacts(info(known)).software).toBe(software);
});
