// The benchmarks on this adapter: they run, their numbers are consistent, and a wrong kernel is not timed.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { captureCommands } from "../../src/bench/capture.ts";
import { dispatchSize } from "../../src/bench/dispatch-size.ts";
import { benchKernels, type KernelResult } from "../../src/bench/kernels.ts";
import { csv, jsonText, table } from "../../src/bench/output.ts";
import { PASSES, passesOf } from "../../src/bench/passes/index.ts";
import { PEER_CASES, prepareOurs } from "../../src/bench/peer-cases.ts";
import { POISON } from "../../src/bench/poison.ts";
import { provenance, saveSection } from "../../src/bench/results.ts";
import { summarize, summaryText } from "../../src/bench/sample.ts";
import { benchStep, chromeTrace } from "../../src/bench/step.ts";
import { printDispatches } from "../../src/gpu/dispatch-lines.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { roofline } from "../../src/gpu/roofline.ts";
import { parseShader } from "../../src/gpu/shader.ts";
import { runnableVariants } from "../../src/gpu/variant.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { shaderFiles } from "../../src/host/node/shader-files.ts";
import { UsageError } from "../../src/support/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "bench-"));
let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => rmSync(folder, { recursive: true }));

const quick = { n: 3, budgetMs: 5, awkwardCases: 2, paperCases: 0 };

async function collect(results: AsyncGenerator<KernelResult>): Promise<KernelResult[]> {
  const all: KernelResult[] = [];
  for await (const result of results) all.push(result);
  return all;
}

describe("bench kernels", () => {
  test("element-wise passes, row sums and SGD agree with their references and are timed; every pass has small cases", async () => {
    const results = await collect(benchKernels(gpu, passesOf(["elementwise", "reduce", "sgd"]), quick));
    expect(results.filter(({ status }) => status === "wrong")).toEqual([]);
    const rows = results.flatMap((result) => (result.status === "timed" ? result.rows : []));
    const kernels = new Set(rows.map(({ kernel }) => kernel));
    expect([...kernels].sort()).toEqual(
      [
        "elementwise/add",
        "elementwise/relu",
        "elementwise/relu-grad",
        "reduce/sum-rows",
        "sgd/momentum",
      ].sort(),
    );
    for (const { ms, gflops, gigabytesPerSecond, roofline: share } of rows) {
      expect(ms.n).toBeGreaterThanOrEqual(3);
      expect(ms.low).toBeLessThanOrEqual(ms.median);
      expect(Math.min(ms.median, gflops, gigabytesPerSecond, share)).toBeGreaterThan(0);
    }
    for (const { cases } of PASSES) expect(cases.some(({ paper }) => !paper)).toBe(true);
  });

  test("a wrong kernel is reported and not timed", async () => {
    const broken = new Gpu(gpu.device, gpu.adapter, (path) =>
      path === "elementwise/add.wgsl"
        ? shaderFiles(path).replace("Element(a[i]) + Element", "Element(a[i]) - Element")
        : shaderFiles(path),
    );
    const results = await collect(benchKernels(broken, passesOf(["elementwise/add"]), quick));
    expect(results.every(({ status }) => status === "wrong")).toBe(true);
    expect(results[0]).toMatchObject({ pass: "elementwise/add", findings: [{ kind: "wrong values" }] });
  });

  test("an unknown op is an error that lists the ops", () => {
    expect(() => passesOf(["softmax"])).toThrow(UsageError);
    expect(() => passesOf(["softmax"])).toThrow(
      /unknown op or pass "softmax"; the ops are .*softmax-cross-entropy/,
    );
  });
});

describe("bench step", () => {
  test("shares add up to 1, and the Chrome trace has one span for each dispatch, without gaps", async () => {
    const report = await benchStep(gpu, { model: "f1", batch: 16, ghostSize: 8, n: 3 });
    expect(report.ops.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);
    expect(report.ops.reduce((sum, { dispatches }) => sum + dispatches, 0)).toBe(report.dispatches);
    expect(report.parameters).toBe(1_462_794);
    expect(report.encodeMs.median).toBeLessThan(report.stepMs.median);
    const { traceEvents } = JSON.parse(chromeTrace(report.timeline, "F1"));
    const spans = traceEvents.filter(({ ph }: { ph: string }) => ph === "X");
    expect(spans.length).toBe(report.dispatches);
    for (const [i, { ts, dur, args }] of spans.entries()) {
      expect(ts).toBeCloseTo(i === 0 ? 0 : spans[i - 1].ts + spans[i - 1].dur, 3);
      expect(dur).toBeGreaterThan(0);
      expect(args.buffers.length).toBeGreaterThan(0);
    }
  });

  test("DEBUG=2 prints kernel, shapes, grid, time, rates and share of the roofline on one line", async () => {
    const lines: string[] = [];
    const print = vi.spyOn(console, "error").mockImplementation((line) => void lines.push(line));
    const cost = { flops: 2e6, bytes: 1e6 };
    const time = {
      kernel: "matmul/tiled.wgsl",
      buffers: ["a [4, 8]", "c [4, 2]"],
      workgroups: [3, 2, 1] as const,
      ms: 2,
      cost,
    };
    printDispatches([time], { flopsPerSecond: 2e9, bytesPerSecond: 1e10 });
    print.mockRestore();
    expect(lines).toEqual([
      "matmul/tiled.wgsl a [4, 8] c [4, 2] grid 3 × 2 × 1 2.000 ms 1.00 GFLOP/s 0.50 GB/s 50 % of roofline total 2.00 ms",
    ]);
    const { flopsPerSecond, bytesPerSecond } = await roofline(gpu);
    expect(Math.min(flopsPerSecond, bytesPerSecond)).toBeGreaterThan(1e7);
  });
});

describe("grids of a user's kernel", () => {
  const gridOf = (line: string) => {
    const code = `// head\n// @dispatch ${line}\nconst W = 2u * 2;\n@compute @workgroup_size(W) fn main() {}`;
    return dispatchSize(
      parseShader("k.wgsl", () => code),
      { entryPoint: "main", names, mostGroups: 100 },
    );
  };
  const names = new Map([
    ["P", 5],
    ["K", 3],
  ]);
  test.each([
    ["(ceil(P / 2), K)", [3, 3, 1]],
    ["(ceil(21 / W), 4u * K / 2)  // flat", [6, 6, 1]],
    ["(max(1, P - 2 * K), min(P, K, 2) + 1, (P + 1) / K)", [1, 3, 2]],
  ])("%s", (line, grid) => {
    expect(gridOf(line)).toEqual(grid);
  });
  test.each([
    ["(P / 2)", /k\.wgsl:2:1: @dispatch: gives a grid of 2\.5 × 1 × 1.*use ceil/],
    ["(1, N)", /k\.wgsl:2:18: @dispatch: there is no N; there are P, K/],
    ["(P, K", /expected \(x, y, z\)/],
    ["(ceil(P)", /expected \(x, y, z\)/],
    ["(P, 101)", /k\.wgsl:2:1: @dispatch: a grid of 5 × 101 × 1 workgroups: each side must be from 1 to 100/],
    ["(P % 0)", /gives a grid of NaN/],
    ["(P $ K)", /unexpected "\$"/],
    ["(1, 2, 3, 4)", /one to three numbers/],
  ])("%s", (line, message) => {
    expect(() => gridOf(line)).toThrow(message);
  });
});

describe("output files", () => {
  const software = { name: 'llvmpipe, "x"', software: true };

  test("the first line of JSON and every row of CSV name the adapter and say whether it is software", () => {
    const json = jsonText(software, { rows: [1] });
    expect(json.split("\n")[0]).toBe('{"adapter": "llvmpipe, \\"x\\"", "software": true,');
    expect(JSON.parse(json)).toEqual({ adapter: software.name, software: true, rows: [1] });
    expect(JSON.parse(jsonText(software, {}))).toEqual({ adapter: software.name, software: true });
    const lines = csv(software, [{ name: "a, b", ms: 1 / 3, count: 4096 }]).split("\n");
    expect(lines[0]).toBe("adapter,software,name,ms,count");
    expect(lines.slice(1)).toEqual(['"llvmpipe, ""x""",true,"a, b",0.333333,4096', ""]);
    expect(table(["a", "b"], [["x", "1"]])).toBe("| a | b |\n|---|--:|\n| x | 1 |");
  });

  test("a section of the results file replaces the earlier one with the same title", async () => {
    const adapter = { ...gpu.adapter, ...software };
    const path = await saveSection(folder, adapter, "bench gbn", "one");
    await saveSection(folder, adapter, "bench step", "two");
    await saveSection(folder, adapter, "bench gbn", "three");
    const text = readFileSync(path, "utf8");
    expect(path.endsWith("llvmpipe-x.md")).toBe(true);
    expect(text.split("\n")[0]).toMatch(/SOFTWARE ADAPTER/);
    expect(text.split(/^## /m).slice(1)).toEqual(["bench gbn\n\nthree\n\n", "bench step\n\ntwo\n"]);
    const environment = {
      command: "ghostbatch bench gbn",
      git: { hash: "0123456789abcdef", dirty: true },
      versions: { node: "20" },
      adapter,
    };
    expect(provenance(adapter, environment, 7)).toMatch(
      /commit 0123456789 with changes; driver llvmpipe.*node 20; medians of 7/,
    );
  });

  test("medians and quartiles", () => {
    const summary = summarize([5, 1, 2, 100, 3]);
    expect(summary).toEqual({ n: 5, median: 3, low: 2, high: 5, best: 1 });
    expect(summaryText(summary)).toBe("3.00 ms (2.00 to 5.00)");
  });
});

test.each(PEER_CASES.filter(({ kind }) => kind === "ghost-batch-norm" || kind === "conv2d").slice(-2))(
  "our side of `bench peers` creates nothing after the first run: $name",
  async (one) => {
    await gpu.lifetime(async () => {
      const run = await prepareOurs(gpu, one);
      await run();
      const created = { ...gpu.created };
      await run();
      expect(gpu.created).toEqual(created);
    });
  },
);

test("captured dispatches do not run, and scratch memory is poisoned", async () => {
  const before = gpu.variant;
  await gpu.lifetime(async () => {
    const pass = passesOf(["conv2d/grad-weight"])[0]!;
    for (const variant of runnableVariants(gpu)) {
      const prepared = await pass.cases[0]!.prepare(gpu);
      const commands = captureCommands(gpu, variant, () => prepared.launch());
      const [partials, output] = [commands[0]!.launch.buffers["partials"]!, prepared.outputs[0]!.tensor];
      for (const memory of [partials, output])
        expect(new Set(new Uint32Array(await gpu.read(memory)))).toEqual(new Set([POISON]));
      expect(commands.map(({ kernel }) => kernel.file).at(-1)).toBe("reduce/sum-rows.wgsl");
      expect(commands[0]!.kernel.file).toMatch(
        variant === "narrow" ? /grad-weight-narrow/ : /grad-weight\.wgsl/,
      );
    }
  });
  expect([gpu.variant, gpu.recorder]).toEqual([before, null]);
});
