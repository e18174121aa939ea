// Sequential runs a convolution, the norm behind it and its relu with fewer passes, and computes what they do one by one.

import { beforeAll, expect, test, vi } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { Conv2d } from "../../src/nn/conv2d.ts";
import { GhostBatchNorm } from "../../src/nn/ghost-batch-norm.ts";
import { materialize } from "../../src/nn/model-state.ts";
import { type Mode, Relu, Sequential } from "../../src/nn/module.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { fromArray, persistent, readFloats } from "../../src/tensor/tensor.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
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
    expect(files.filter((file) => /statistics-merge/.test(file)).length).toBe(training * merged);
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
