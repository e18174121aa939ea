/** The worker of the bench tab. It has its own device, so a kernel that never ends or loses the device takes nothing else down. */
import { benchKernels } from "../bench/kernels.ts";
import { opOf, PASSES, passesOf } from "../bench/passes/index.ts";
import { benchUserKernel, replaceableKernels, targetOf } from "../bench/user-kernel.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { roofline } from "../gpu/roofline.ts";
import { annotatedShaders } from "../host/browser/annotated-shaders.ts";
import { MissingGpuError } from "../host/browser/missing-gpu.ts";
import { openGpu } from "../host/browser/open-gpu.ts";
import { messageOf } from "../support/errors.ts";
import type { FromBench, ToBench } from "./bench-messages.ts";

/** Samples per time, and the most time that all samples of a dispatch may take together, ms. */
const TIMING = { n: 15, budgetMs: 500 };
/** Shapes of the networks, and awkward ones, which are only checked or also timed. */
const SHAPES = { awkwardCases: 1, paperCases: 1 };
/** The name of the visitor's kernel in messages. */
const OWN_NAME = "your-kernel.wgsl";

const say = (message: FromBench) => self.postMessage(message);
let opened: Promise<Gpu> | null = null;

const ops = [...new Set(PASSES.map(({ name }) => opOf(name)))].sort();
say({ kind: "lists", ops, kernels: replaceableKernels() });

self.onmessage = ({ data }: MessageEvent<ToBench>) => void answer(data);

async function answer(message: ToBench): Promise<void> {
  try {
    if (message.kind === "source") {
      const { kernel } = targetOf(message.as);
      return say({ kind: "source", as: message.as, code: annotatedShaders.source(kernel) });
    }
    opened ??= open();
    const gpu = await opened;
    if (message.kind === "kernels") await timeKernels(gpu, message.op);
    else await checkOwnKernel(gpu, message);
    say({ kind: "done" });
  } catch (error) {
    opened = null;
    if (error instanceof MissingGpuError)
      say({ kind: "missing", reason: error.reason, message: error.message });
    else say({ kind: "error", message: messageOf(error) });
  }
}

async function open(): Promise<Gpu> {
  say({ kind: "phase", phase: "opening the GPU" });
  const gpu = await openGpu(annotatedShaders);
  say({ kind: "adapter", adapter: gpu.adapter });
  say({ kind: "phase", phase: "measuring bandwidth and arithmetic" });
  say({ kind: "roofline", roofline: await roofline(gpu) });
  return gpu;
}

async function timeKernels(gpu: Gpu, op: string): Promise<void> {
  for (const pass of passesOf([op])) {
    say({ kind: "phase", phase: `checking and timing ${pass.name}` });
    for await (const result of benchKernels(gpu, [pass], { ...TIMING, ...SHAPES })) {
      if (result.status === "timed") say({ kind: "rows", rows: result.rows });
      else
        for (const { message } of result.findings)
          say({ kind: "wrong", pass: result.pass, case: result.case, message });
    }
  }
}

async function checkOwnKernel(
  gpu: Gpu,
  { code, as }: Extract<ToBench, { kind: "own kernel" }>,
): Promise<void> {
  const options = { file: OWN_NAME, as, ...TIMING, paperCases: 2 };
  const onPhase = (phase: string) => say({ kind: "phase", phase });
  say({
    kind: "report",
    report: await benchUserKernel(gpu, options, { code, shaders: annotatedShaders.source, onPhase }),
  });
}
