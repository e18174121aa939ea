// DEBUG=n: each level prints what it promises, and the results stay the same.

import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Arena, record } from "../../src/gpu/recording.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchAdd, launchRelu, launchReluGrad } from "../../src/kernels/elementwise.ts";
import { env } from "../../src/support/env.ts";
import { empty, fromArray, persistent, readFloats } from "../../src/tensor/tensor.ts";

let printed: string[];
beforeEach(() => {
  printed = [];
  vi.spyOn(console, "error").mockImplementation((line) => void printed.push(line));
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test("CONTRIBUTING.md and --help describe the levels in the same words", () => {
  const { meaning } = env.variables().find(({ name }) => name === "DEBUG")!;
  const text = readFileSync("CONTRIBUTING.md", "utf8").replaceAll(/\s+/g, " ");
  expect(text).toContain(`\`DEBUG=n\` on any command: ${meaning}.`);
});

test("levels 1, 3 and 4: the device, compiled files, allocations, overrides", async () => {
  const linesOf = async (level: string) => {
    vi.stubEnv("DEBUG", level);
    printed.length = 0;
    const gpu = await openGpu();
    const y = persistent(gpu, [4], { label: "y" });
    launchReluGrad({ y, dy: y, dx: empty(gpu, [4]) }, { accumulate: false });
    await gpu.settle();
    return printed.join("\n");
  };
  expect(await linesOf("0")).toBe("");
  expect(await linesOf("1")).toMatch(
    /^device .*, (narrow|wide) kernels by .*\ncompile elementwise\/relu-grad\.wgsl$/,
  );
  expect(await linesOf("3")).toContain("allocate y [4] 16 B");
  expect(await linesOf("4")).toContain(
    "\ncompile elementwise/relu-grad.wgsl Element=vec4f Stored=vec4f ACCUMULATE=false",
  );
});

// More dispatches than one query set of 4096 holds, at two queries each.
const DISPATCHES = 2100;

test.for([true, false])(
  "level 2, timestamps %s: a line per dispatch, and steps wait for each other",
  async (timestamps, { skip }) => {
    const gpu = await openGpu();
    const has = gpu.device.features.has.bind(gpu.device.features);
    if (timestamps && !has("timestamp-query")) skip("the adapter has no timestamp queries");
    vi.spyOn(gpu.device.features, "has").mockImplementation(
      (name) => has(name) && (timestamps || name !== "timestamp-query"),
    );
    const x = persistent(gpu, [1]);
    const sums = [fromArray(gpu, new Float32Array(1)), persistent(gpu, [1])] as const;
    const recording = await record(gpu, new Arena(gpu), "sum", () => {
      for (let i = 0; i < DISPATCHES; i++) launchAdd({ a: sums[i % 2]!, b: x, y: sums[(i + 1) % 2]! });
    });
    vi.stubEnv("DEBUG", "2");
    printed.length = 0;
    for (const value of [1, 2, 3]) {
      gpu.write(x, new Float32Array([value]));
      recording.replay();
    }
    expect(await readFloats(sums[0])).toEqual(new Float32Array([DISPATCHES * (1 + 2 + 3)]));
    const lines = printed.filter((line) =>
      line.startsWith("elementwise/add.wgsl a [1] b [1] y [1] grid 1 × 1 × 1"),
    );
    expect(lines.length).toBe(3 * DISPATCHES);
    expect(
      lines.every((line) => / ms .* GFLOP\/s .* GB\/s .* % of roofline total /.test(line) === timestamps),
    ).toBe(true);
    expect(printed.some((line) => line.startsWith("no times:"))).toBe(!timestamps);
  },
);

test.each(["eager", "replayed"])(
  "level 5, %s: an error names its own kernel, not a later one",
  async (how) => {
    vi.stubEnv("DEBUG", "5");
    const gpu = await openGpu();
    const [x, y] = [persistent(gpu, [4]), persistent(gpu, [4])];
    const body = () => {
      launchAdd({ a: x, b: y, y }); // WebGPU refuses one buffer as input and output
      for (let i = 0; i < 10; i++) launchRelu({ x, y });
    };
    if (how === "eager") body();
    else (await record(gpu, new Arena(gpu), "step", body)).replay();
    await expect(gpu.settle()).rejects.toThrow(/^elementwise\/add\.wgsl: /);
  },
);
