// Random numbers on the GPU: the reference's integers bit for bit, and the distributions of the initializers.

import { beforeAll, describe, expect, test } from "vitest";
import { randomCounters } from "../../src/cases/random.ts";
import { adapterFacts, findAdapter, requestDevice } from "../../src/gpu/adapter.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { defineKernel } from "../../src/gpu/kernel.ts";
import { openDawn } from "../../src/host/node/node-webgpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { shaderFiles } from "../../src/host/node/shader-files.ts";
import { launchNormal, launchUniform } from "../../src/kernels/random.ts";
import { constant, normal, uniformBetween, uniformWithin } from "../../src/nn/initialize.ts";
import { normalsFromWords, pcg4d, uniformFromWord } from "../../src/reference/random.ts";
import { STREAMS } from "../../src/support/random.ts";
import { empty, fromArray, readFloats, readTensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { expectEqualBits, poisonAllocations } from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

// A launcher would need 2³² numbers to reach the last counters, so a kernel of this test calls the library.
const PROBE = defineKernel({ file: "test.wgsl", bindings: ["counters", "words"] });
const PROBE_CODE = `
@group(0) @binding(0) var<storage, read> counters: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> words: array<vec4u>;
// @import lib/random.wgsl
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u) {
  let i = group.x;
  let drawn = pcg4d(counters[i]);
  words[2u * i] = drawn;
  words[2u * i + 1u] = vec4u(bitcast<u32>(uniform01(drawn.x)), 0u, 0u, 0u);
}`;

test("the library gives the reference's words for any counter", async () => {
  const adapter = (await findAdapter(await openDawn()))!;
  const own = new Gpu(await requestDevice(adapter), adapterFacts(adapter.info), (path) =>
    path === PROBE.file ? PROBE_CODE : shaderFiles(path),
  );
  const counters = fromArray(own, Uint32Array.from(randomCounters.flat()), [randomCounters.length, 4]);
  const words = empty(own, [randomCounters.length, 8], "u32");
  own.run(PROBE, {
    buffers: { counters, words },
    workgroups: [randomCounters.length],
    cost: { flops: 0, bytes: 0 },
  });
  const bitsOf = (value: number) => new Uint32Array(new Float32Array([value]).buffer)[0];
  const expected = randomCounters.flatMap((counter) => {
    const [x, y, z, w] = pcg4d(counter);
    return [x, y, z, w, bitsOf(uniformFromWord(x)), 0, 0, 0];
  });
  expect([...(await readTensor(words))]).toEqual(expected);
});

const KEY = { seed: 0xdeadbeef, stream: STREAMS.init, tensor: 3 };
const SIZE = 100_003;

test("uniform numbers are the reference's bit for bit, whatever the grid", async () => {
  const x = empty(gpu, [SIZE]);
  launchUniform(x, KEY, { low: 0, high: 1 });
  const expected = Float32Array.from({ length: SIZE }, (_, i) =>
    uniformFromWord(pcg4d([KEY.seed, KEY.stream, KEY.tensor, i])[0]),
  );
  expectEqualBits(await readFloats(x), expected, "uniforms");
});

test("normal numbers are the reference's", async () => {
  const count = 10_007;
  const x = empty(gpu, [count]);
  launchNormal(x, KEY, { mean: -3, deviation: 2 });
  const expected = Float64Array.from({ length: count }, (_, i) => {
    const [first, second] = pcg4d([KEY.seed, KEY.stream, KEY.tensor, i]);
    return -3 + 2 * normalsFromWords(first, second)[0];
  });
  // WGSL: cos errs by up to 2⁻¹¹ in absolute terms, log by 2⁻²¹ near 1; the radius is at most √(2 · 24 · ln 2) = 5.8.
  expectClose(await readFloats(x), expected, { bound: 2 * 5.8 * 2 ** -11, label: "normals" });
});

describe("initializers", () => {
  // Expected mean, deviation, minimum and maximum.
  test.each([
    [
      "uniform within ±1/√784",
      uniformWithin(784 ** -0.5),
      0,
      784 ** -0.5 / Math.sqrt(3),
      -(784 ** -0.5),
      784 ** -0.5,
    ],
    ["uniform in [0, 1)", uniformBetween(0, 1), 0.5, 1 / Math.sqrt(12), 0, 1],
    ["normal", normal(0.05), 0, 0.05, -0.3, 0.3],
  ] as const)("%s", async (_, initialize, mean, deviation, least, greatest) => {
    const [x, other] = [empty(gpu, [SIZE]), empty(gpu, [SIZE])];
    initialize(x, KEY);
    initialize(other, { ...KEY, tensor: KEY.tensor + 1 });
    const values = await readFloats(x);
    const sample = momentsOf(values);
    // Five standard errors of the mean and of the deviation.
    expect(Math.abs(sample.mean - mean)).toBeLessThan((5 * deviation) / Math.sqrt(SIZE));
    expect(Math.abs(sample.deviation / deviation - 1)).toBeLessThan(5 / Math.sqrt(2 * SIZE));
    expect(sample.least).toBeGreaterThanOrEqual(Math.fround(least));
    expect(sample.greatest).toBeLessThanOrEqual(Math.fround(greatest));
    // Neither neighboring numbers nor tensors of one model are correlated.
    const others = await readFloats(other);
    for (const shifted of [values.subarray(1), others]) {
      let product = 0;
      for (let i = 0; i < SIZE - 1; i++) product += (values[i]! - mean) * (shifted[i]! - mean);
      expect(Math.abs(product / SIZE / deviation ** 2)).toBeLessThan(5 / Math.sqrt(SIZE));
    }
  });

  test("a constant", async () => {
    const x = empty(gpu, [130]);
    constant(1)(x, KEY);
    expect(await readFloats(x)).toEqual(new Float32Array(130).fill(1));
  });
});

function momentsOf(values: Float32Array) {
  let sum = 0;
  let least = Number.POSITIVE_INFINITY;
  let greatest = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    sum += value;
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / values.length), least, greatest };
}
