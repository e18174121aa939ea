import { Command, Option } from "commander";
import { measureVariants } from "../../bench/choose-variant.ts";
import { versions } from "../../experiments/environment.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { Arena, record } from "../../gpu/recording.ts";
import { openGpu } from "../../host/open-gpu.ts";
import { rememberTimes, type VariantChoice, variantChoice } from "../../host/variant-choice.ts";
import { launchMatmul } from "../../kernels/matmul.ts";
import { launchUniform } from "../../kernels/random.ts";
import { DeviceError } from "../../support/errors.ts";
import { formatBytes, formatQuantity } from "../../support/format.ts";
import { pcg4d, STREAMS, uniform01 } from "../../support/random.ts";
import { empty, persistent, readFloats } from "../../tensor/tensor.ts";
import { adapterOption, jsonOption } from "../options.ts";

/** Limits that decide what fits and how it is cut. */
const LIMITS = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
] as const;

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("the adapter, its limits and features, and a self-test of about a second")
    .addOption(adapterOption())
    .addOption(new Option("--measure", "measure the kernel variants again"))
    .addOption(jsonOption())
    .action(async ({ adapter, measure, json }: { adapter?: string; measure?: boolean; json?: boolean }) => {
      const gpu = await openGpu({ adapter });
      const kernels = await chosenVariant(gpu, measure ?? false);
      const limits = Object.fromEntries(LIMITS.map((name) => [name, gpu.device.limits[name]]));
      const features = [...gpu.device.features].sort();
      const selfTest = await runSelfTest(gpu);
      const facts = {
        adapter: gpu.adapter,
        variant: gpu.variant,
        kernels,
        limits,
        features,
        versions: versions(),
        selfTest,
      };
      console.log(json ? JSON.stringify(facts, null, 2) : text(facts));
    });
}

function text(facts: {
  adapter: Gpu["adapter"];
  kernels: VariantChoice;
  limits: Record<string, number>;
  features: string[];
  versions: Record<string, string>;
  selfTest: { gflops: number };
}): string {
  const { adapter, kernels, limits, features, selfTest } = facts;
  const lanes = `subgroups of ${adapter.subgroupMinSize} to ${adapter.subgroupMaxSize} lanes`;
  return [
    `adapter    ${adapter.name} (${adapter.vendor}, ${adapter.architecture})`,
    `kind       ${adapter.software ? "software: correct but slow, for tests and small experiments" : "hardware"}`,
    `kernels    ${kernels.variant} variants, by ${reasonText(kernels)} (${adapter.subgroupMaxSize > 0 ? lanes : "no subgroups"})`,
    `limits     ${Object.entries(limits)
      .map(([name, value]) => `${name} ${/Size$/.test(name) ? formatBytes(value) : value}`)
      .join(", ")}`,
    `features   ${features.join(", ")}`,
    `versions   ${Object.entries(facts.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}`,
    `self-test  passed; matrix multiplication at ${formatQuantity(selfTest.gflops * 1e9, "FLOP/s")}`,
  ].join("\n");
}

/** What the adapter uses; the first time, and when asked to, after one short measurement that is kept. */
async function chosenVariant(gpu: Gpu, again: boolean): Promise<VariantChoice> {
  if (again || variantChoice(gpu).times === null) {
    const times = await measureVariants(gpu);
    if (times) rememberTimes(gpu.adapter, times);
  }
  const choice = variantChoice(gpu);
  gpu.variant = choice.variant;
  return choice;
}

function reasonText({ reason, times }: VariantChoice): string {
  const found = times ? `narrow ${times.narrow.toPrecision(3)} ms, wide ${times.wide.toPrecision(3)} ms` : "";
  if (reason === "features") return "its features";
  if (reason === "measured") return `measurement: ${found}`;
  return `${reason}${found === "" ? "" : `, against a measurement: ${found}`}`;
}

/**
 * Random numbers that must be the CPU's bit for bit, and a product whose trace is known, replayed for a rate.
 * @throws DeviceError when the adapter computes something else
 */
async function runSelfTest(gpu: Gpu): Promise<{ gflops: number }> {
  const N = 256; // 34 MFLOP: milliseconds on any adapter
  const random = persistent(gpu, [N, N]);
  launchUniform(random, { seed: 1, stream: STREAMS.synthetic, tensor: 0 }, { low: 0, high: 1 });
  const numbers = await readFloats(random);
  for (const index of [0, 1, N * N - 1]) {
    const expected = uniform01(pcg4d(1, STREAMS.synthetic, 0, index)[0]);
    if (numbers[index] !== expected) {
      throw new DeviceError(
        `self-test: random number ${index} is ${numbers[index]}, expected ${expected}: the adapter or its driver computes wrongly`,
      );
    }
  }
  const product = await record(gpu, new Arena(gpu), "self-test", () => {
    const c = empty(gpu, [N, N]);
    launchMatmul({ a: random, b: random, c }, { transposeA: false, transposeB: true, accumulate: false });
    return c;
  });
  product.replay();
  await gpu.settle();
  const repeats = 10;
  const start = performance.now();
  for (let i = 0; i < repeats; i++) product.replay();
  await gpu.settle();
  return { gflops: (repeats * product.plan.cost.flops) / (performance.now() - start) / 1e6 };
}
