// Errors of the device appear at the next await, with the name of the kernel or tensor.

import { beforeAll, expect, test, vi } from "vitest";
import { adapterFacts, findAdapter, isNullAdapter, requestDevice } from "../../src/gpu/adapter.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { defineKernel } from "../../src/gpu/kernel.ts";
import { Arena, record } from "../../src/gpu/recording.ts";
import { openDawn } from "../../src/host/node/node-webgpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchRelu } from "../../src/kernels/elementwise.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { DeviceError, ShaderError } from "../../src/support/errors.ts";
import { empty, fromArray, persistent, readFloats, slice } from "../../src/tensor/tensor.ts";

let root: GPU;
beforeAll(async () => {
  await openGpu();
  root = await openDawn();
});

const HEAD = "override SIZE: u32;\n@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n";
const KERNEL = defineKernel({ file: "test.wgsl", bindings: ["y"], overrides: ["SIZE"] });

/** A separate Gpu whose only shader is `code`. */
async function gpuWith(code: string): Promise<Gpu> {
  const adapter = (await findAdapter(root))!;
  return new Gpu(await requestDevice(adapter), adapterFacts(adapter.info), () => code);
}

function runOnce(gpu: Gpu): void {
  gpu.run(KERNEL, {
    buffers: { y: empty(gpu, [4]) },
    overrides: { SIZE: 4 },
    workgroups: [1],
    cost: { flops: 0, bytes: 0 },
  });
}

test("a shader that does not compile: the error has file, line, column and the line's text", async () => {
  const code = `${HEAD}@compute @workgroup_size(1)\nfn main() {\n  y[0] = missing;\n}\n`;
  const gpu = await gpuWith(code);
  runOnce(gpu);
  await expect(gpu.settle()).rejects.toThrow(
    /^test\.wgsl:5:10: unresolved value 'missing' \| y\[0\] = missing;$/,
  );
  const other = await gpuWith(code);
  await expect(record(other, new Arena(other), "r", () => runOnce(other))).rejects.toThrow(ShaderError);
});

test("bindings and overrides that do not match the file", async () => {
  const gpu = await gpuWith("@group(0) @binding(0) var<storage, read_write> z: array<f32>;\n");
  expect(() => runOnce(gpu)).toThrow("test.wgsl: binds (z), but the kernel names (y)");
  const other = await gpuWith(`${HEAD}override C: u32;\n`);
  expect(() => runOnce(other)).toThrow("override C has no default, and the kernel does not set it");
});

test("numbers that a field of params cannot hold, and names without a value", async () => {
  const gpu = await gpuWith(
    `${HEAD}struct Params { count: u32, offset: i32, factor: f32 }
@group(0) @binding(1) var<uniform> params: Params;
@compute @workgroup_size(1)\nfn main() { y[0] = params.factor + f32(params.count) + f32(params.offset); }\n`,
  );
  const kernel = defineKernel({ ...KERNEL, params: ["count", "offset", "factor"] });
  const y = empty(gpu, [4]);
  const run = (params: Record<string, number>, buffers: object = { y }) =>
    gpu.run(kernel, {
      buffers: buffers as { y: typeof y },
      overrides: { SIZE: 4 },
      params: { count: 1, offset: -1, factor: 0.5, ...params },
      workgroups: [1],
      cost: { flops: 0, bytes: 0 },
    });
  for (const count of [-1, 1.5, 2 ** 32, Number.NaN])
    expect(() => run({ count })).toThrow(
      `test.wgsl: params.count is ${count}, which is not a value of type u32`,
    );
  expect(() => run({ offset: 2 ** 31 })).toThrow(/params\.offset is 2147483648, .* i32/);
  expect(() => run({ factor: undefined as unknown as number })).toThrow(/params\.factor is undefined/);
  expect(() => run({}, {})).toThrow("test.wgsl: binds y, but the launch has no buffer for it");
  run({ count: 2 ** 32 - 1, offset: -(2 ** 31) });
  expect((await readFloats(y))[0]).toBe(2 ** 31);
});

test("more storage buffers than the adapter allows: the error has the file and both numbers", async () => {
  const names = ["a", "b", "c", "d", "e", "f", "g", "h", "y"] as const;
  const code = names.map((name, i) => {
    const access = name === "y" ? "read_write" : "read";
    return `@group(0) @binding(${i}) var<storage, ${access}> ${name}: array<f32>;\n`;
  });
  code.push(`@compute @workgroup_size(1)\nfn main() { y[0] = ${names.slice(0, 8).join("[0] + ")}[0]; }\n`);
  const adapter = (await findAdapter(root))!;
  const device = await adapter.requestDevice(); // with the limits that WebGPU guarantees
  const gpu = new Gpu(device, adapterFacts(adapter.info), () => code.join(""));
  const kernel = defineKernel({ file: "nine.wgsl", bindings: names });
  const [x, y] = [persistent(gpu, [1]), persistent(gpu, [1])];
  const buffers = { a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x, y };
  const launch = { buffers, workgroups: [1], cost: { flops: 0, bytes: 0 } } as const;
  expect(() => gpu.run(kernel, launch)).toThrow(ShaderError);
  expect(() => gpu.run(kernel, launch)).toThrow(
    /^nine\.wgsl: binds 9 storage buffers, but this adapter allows at most 8 in a shader/,
  );
});

test("the error of a lost device names the last kernel", async () => {
  const gpu = await gpuWith(`${HEAD}@compute @workgroup_size(1)\nfn main() { y[0] = f32(SIZE); }\n`);
  const kept = persistent(gpu, [4]);
  runOnce(gpu);
  gpu.device.destroy();
  await expect(readFloats(kept)).rejects.toThrow(/device lost after test\.wgsl/);
});

test("every operation on a closed device fails with that reason, and so does one in progress", async () => {
  const gpu = await gpuWith(`${HEAD}@compute @workgroup_size(1)\nfn main() { y[0] = f32(SIZE); }\n`);
  const kept = persistent(gpu, [4]);
  const reading = readFloats(kept);
  gpu.close();
  gpu.close();
  const closed = /^the device of .* is closed; open a new one$/;
  await expect(reading).rejects.toThrow(closed);
  await expect(readFloats(kept)).rejects.toThrow(DeviceError);
  await expect(gpu.settle()).rejects.toThrow(closed);
  expect(() => runOnce(gpu)).toThrow(closed);
  expect(() => gpu.write(kept, new Float32Array(4))).toThrow(closed);
  expect(() => persistent(gpu, [4])).toThrow(closed);
});

test("a failed read returns its staging buffer", async () => {
  const gpu = await gpuWith("");
  const kept = persistent(gpu, [4]);
  await readFloats(kept);
  const { buffers } = gpu.created;
  const failing = vi.spyOn(Object.getPrototypeOf(kept.storage.buffer), "mapAsync");
  failing.mockRejectedValueOnce(new Error("not now"));
  await expect(readFloats(kept)).rejects.toThrow("reading tensor [4] after no kernel yet: not now");
  failing.mockRestore();
  expect(await readFloats(kept)).toEqual(new Float32Array(4));
  expect(gpu.created.buffers).toBe(buffers);
});

test("a tensor outside any scope belongs to the lifetime", async () => {
  const gpu = await gpuWith("");
  const tensor = () => gpu.lifetime(async () => empty(gpu, [128]).storage);
  const first = await tensor();
  const { buffers } = gpu.created;
  for (let i = 0; i < 5; i++) await tensor();
  expect(gpu.created.buffers).toBe(buffers);
  expect(first.buffer).toBeNull();
});

test("out of GPU memory: the error has the requested bytes, the bytes in use, and advice", async () => {
  const gpu = await gpuWith("");
  const inUse = persistent(gpu, [2 ** 20]);
  // No adapter is small enough to fill in a test.
  vi.spyOn(gpu.device, "popErrorScope").mockResolvedValueOnce({ message: "out of memory" } as GPUError);
  persistent(gpu, [1024], { label: "velocity" });
  await expect(readFloats(inUse)).rejects.toThrow(
    /^velocity \[1024\]: out of GPU memory: 4\.00 KiB do not fit beside the 4\.00 MiB in use; allow less memory per step \(--memory/,
  );
});

test("the error for a tensor too large to bind has its size and the limit", async () => {
  const gpu = await openGpu();
  const limit = gpu.device.limits.maxStorageBufferBindingSize;
  expect(() => empty(gpu, [limit / 4 + 1], "f32", "logits")).toThrow(DeviceError);
  expect(() => empty(gpu, [limit / 4 + 1], "f32", "logits")).toThrow(
    /^logits \[\d+\]: needs .* binds at most .* smaller slabs/,
  );
});

test("Dawn's Null backend is refused", async () => {
  const { create } = await import("webgpu");
  const nothing = create(["backend=null"]);
  const adapter = await nothing.requestAdapter();
  expect(adapter).not.toBeNull();
  expect(isNullAdapter(adapter!.info)).toBe(true);
  expect(await findAdapter(nothing)).toBeNull();
});

test("memory is reused, and views are checked", async () => {
  const gpu = await openGpu();
  const source = fromArray(
    gpu,
    Float32Array.from({ length: 128 }, (_, i) => i - 64),
  );
  const before = gpu.created.buffers;
  for (let i = 0; i < 20; i++) {
    const kept = gpu.scope(() => {
      const y = empty(gpu, [128]);
      launchRelu({ x: source, y });
      return y;
    });
    expect((await readFloats(kept))[100]).toBe(36);
    gpu.memory.release(kept.storage);
  }
  expect(gpu.created.buffers - before).toBeLessThanOrEqual(3); // the tensor, its read-back, the first constants
  expect(() => slice(source, 100, [64])).toThrow(/are outside the 128/);
  expect(() => slice(source, 1, [4])).toThrow(/not a multiple of 256/);
});

test("what a convolution takes when it runs at the end of a scope returns to the pool", async () => {
  const gpu = await openGpu();
  const weight = persistent(gpu, [8, 1, 3, 3]);
  const once = () =>
    gpu.scope(() => {
      // It waits for a norm that may follow, and takes memory when it runs.
      conv2d(empty(gpu, [1, 1, 16, 16]), weight, { stride: 1, padding: 1 });
    });
  once();
  const { buffers } = gpu.created;
  for (let i = 0; i < 5; i++) once();
  expect(gpu.created.buffers).toBe(buffers);
});
