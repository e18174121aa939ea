// Which GPU a rank uses, and when two ranks use the same one.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { takeRankGpu } from "../../../src/host/node/rank-adapter.ts";
import { type RankAdapter, requireOwnAdapters } from "../../../src/run/rank-adapters.ts";

const roots: string[] = [];
afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true });
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** A machine with GPUs at these PCI addresses; a batch system has hidden some of them from this process. */
function machine(addresses: readonly string[], { closed = [] as string[], layer = true } = {}): string {
  const root = mkdtempSync(join(tmpdir(), "ghostbatch-machine-"));
  roots.push(root);
  mkdirSync(join(root, "dev/dri"), { recursive: true });
  for (const [i, pci] of addresses.entries()) {
    const device = join(root, "sys/devices", pci);
    const node = join(root, "sys/class/drm", `renderD${128 + i}`);
    mkdirSync(device, { recursive: true });
    mkdirSync(node, { recursive: true });
    symlinkSync(device, join(node, "device"));
    if (!closed.includes(pci)) writeFileSync(join(root, "dev/dri", `renderD${128 + i}`), "");
  }
  const folder = join(root, "usr/share/vulkan/implicit_layer.d");
  mkdirSync(folder, { recursive: true });
  if (layer) writeFileSync(join(folder, "VkLayer_MESA_device_select.json"), "{}");
  return root;
}

const [A, B] = ["0000:65:00.0", "0000:17:00.0"];

describe("the GPU of a rank", () => {
  test("is the one that the batch system leaves visible", () => {
    vi.stubEnv("DRI_PRIME", undefined);
    expect(takeRankGpu(1, machine([A, B], { closed: [B] }))).toMatchObject({ pci: A });
    expect(process.env.DRI_PRIME).toBeUndefined();
  });

  test.each([
    [0, B, "pci-0000_17_00_0!"],
    [1, A, "pci-0000_65_00_0!"],
    [2, B, "pci-0000_17_00_0!"],
  ])("of local rank %i is %s, by PCI address", (rank, pci, prime) => {
    vi.stubEnv("DRI_PRIME", undefined);
    expect(takeRankGpu(rank, machine([A, B]))).toEqual({ pci, by: `local rank ${rank}` });
    expect(process.env.DRI_PRIME).toBe(prime);
  });

  test("is the user's choice", () => {
    vi.stubEnv("DRI_PRIME", "pci-0000_65_00_0!");
    expect(takeRankGpu(0, machine([A, B]))).toEqual({ pci: A, by: "DRI_PRIME=pci-0000_65_00_0!" });
  });

  test.each([
    [0, { layer: false }, /layer is not installed/],
    [null, {}, /does not number/],
  ])("is unknown if it cannot be chosen", (rank, options, by) => {
    vi.stubEnv("DRI_PRIME", undefined);
    const { pci, by: why } = takeRankGpu(rank, machine([A, B], options));
    expect(pci).toBeNull();
    expect(why).toMatch(by);
  });
});

describe("two ranks on one GPU", () => {
  const rank = (number: number, more: Partial<RankAdapter>): RankAdapter => {
    return { rank: number, host: "n1", adapter: "GPU X", software: false, pci: A, by: "", ...more };
  };

  test("are refused, by the PCI address or, if that is unknown, by the name", () => {
    expect(() => requireOwnAdapters([rank(0, {}), rank(1, {})])).toThrow(
      /^ranks 0 and 1 on n1 use the same GPU, GPU X \(0000:65:00\.0\).*--share-adapter/,
    );
    expect(() =>
      requireOwnAdapters([rank(0, { pci: null, by: "no layer" }), rank(1, { pci: null })]),
    ).toThrow(/cannot be told/);
  });

  test("are accepted with different addresses, on different machines, or in software", () => {
    requireOwnAdapters([rank(0, {}), rank(1, { pci: B }), rank(2, { host: "n2" })]);
    requireOwnAdapters([rank(0, { software: true }), rank(1, { software: true })]);
  });
});
