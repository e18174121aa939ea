// Sequential runs a convolution, the norm after it and its ReLU in fewer passes, with the results of single passes.

import { beforeAll, expect, test, vi } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { Conv2d } from "../../src/nn/conv2d.ts";
import { GhostBatchNorm } from "../../src/nn/ghost-batch-norm.ts";
import { materialize } from "../../src/nn/model-state.ts";
import { type Mode, Relu, Sequential } from "../../src/nn/module.ts";
import { relu } from "../../src/ops/relu.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { fromArray, persistent, readFloats, type Tensor } from "../../src/tensor/tensor.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

test("a convolution computes moments only if a norm comes next", () => {
  const convolution = new Conv2d(3, 8, { kernel: 3, padding: 1 });
  const norm = new GhostBatchNorm(8);
  materialize(gpu, new Sequential([convolution, norm]), { seed: 1, maximumGhosts: 1 });
  const step = persistent(gpu, [8], { usage: "uniform" });
  const ghosts = { ghostSize: 2, ghosts: 1, total: 2, firstGhost: 0 };
  const mode = { kind: "train", ghosts, firstSample: 0, step } satisfies Mode;
  const kernels = (body: (x: Tensor) => Tensor) => {
    const x = persistent(gpu, [2, 3, 8, 8]);
    const dispatched = vi.spyOn(gpu, "run");
    gpu.scope(() => body(x));
    gpu.flush();
    const launches = dispatched.mock.calls.map(
      ([{ file }, { spec }]) => `${file} ${spec?.["MOMENTS"] ?? ""}`,
    );
    dispatched.mockRestore();
    return launches.filter((launch) => /forward|statistics|normalize-merged/.test(launch)).join();
  };
  expect(kernels((x) => convolution.forward(x))).toMatch(/^conv2d\/forward\S* false$/);
  expect(kernels((x) => relu(convolution.forward(x)))).toMatch(/^conv2d\/forward\S* false$/);
  expect(kernels((x) => norm.forward(convolution.forward(x), mode))).toMatch(
    /^conv2d\/forward\S* true,[^,]*merge/,
  );
  const other = (x: Tensor) => {
    const y = convolution.forward(x);
    relu(x); // another dispatch comes first, so the convolution cannot wait any longer
    return norm.forward(y, mode);
  };
  expect(kernels(other)).toMatch(/^conv2d\/forward\S* false,ghost-batch-norm\/statistics(-narrow)?\.wgsl/);
});

test.each([
  { bias: false, merged: 1 },
  { bias: true, merged: 0 }, // moments are those of the output before its bias
])("convolution, norm and relu, bias $bias", async ({ bias, merged }) => {
  const convolution = new Conv2d(3, 8, { kernel: 3, padding: 1, bias });
  const norm = new GhostBatchNorm(8);
  const model = new Sequential([convolution, norm, new Relu(), new Conv2d(8, 8, { kernel: 1 })]);
  materialize(gpu, model, { seed: 1, maximumGhosts: 2 });
  const x = fromArray(gpu, randomData(1).normals(4 * 3 * 8 * 8), [4, 3, 8, 8]);
  const ghosts = { ghostSize: 2, ghosts: 2, total: 4, firstGhost: 0 };
  const step = persistent(gpu, [8], { usage: "uniform" });
  for (const mode of [{ kind: "train", ghosts, firstSample: 0, step }, { kind: "eval" }] satisfies Mode[]) {
    const dispatched = vi.spyOn(gpu, "run");
    const y = model.forward(x, mode);
    const files = dispatched.mock.calls.map(([{ file }]) => file);
    dispatched.mockRestore();
    const training = mode.kind === "train" ? 1 : 0;
    expect(files.filter((file) => /statistics-merge|normalize-merged/.test(file)).length).toBe(
      training * merged,
    );
    expect(files.filter((file) => /statistics(-narrow)?\.wgsl/.test(file)).length).toBe(
      training * (1 - merged),
    );
    expect(files).not.toContain("elementwise/relu.wgsl");
    const single = [convolution, norm, new Relu(), model.modules[3]!];
    const expected = await readFloats(single.reduce((h, module) => module.forward(h, mode), x));
    const bound = roundingBound({ terms: 8, scale: largest(expected) });
    expectClose(await readFloats(y), expected, { bound, label: mode.kind });
  }
});
