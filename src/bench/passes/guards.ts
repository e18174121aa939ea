import { caseLabel } from "../../cases/label.ts";
import { launchGradientNoise } from "../../kernels/gradient-noise.ts";
import { launchCountNonFinite } from "../../kernels/non-finite.ts";
import { launchRestore } from "../../kernels/skip.ts";
import { largest } from "../../reference/close.ts";
import { normalsFromWords, pcg4d } from "../../reference/random.ts";
import { STREAMS } from "../../support/random.ts";
import { fromArray } from "../../tensor/tensor.ts";
import { exact, numbers, type Pass, passOf, poisoned } from "../pass.ts";
import { stepUniform } from "./step.ts";

const SIZES = [
  { size: 1 },
  { size: 257 },
  { size: 10_007 },
  { size: 661_338, network: "resnet44", paper: true },
];
const flat = {
  label: caseLabel,
  cost: ({ size }: { size: number }) => ({ flops: size, bytes: 8 * size }),
};
const SEED = 99;
const DEVIATION = 0.5;

/** Passes that guard a step, and the noise that replaces batch norm. */
export const guardPasses: readonly Pass[] = [
  passOf("skip/restore", SIZES, {
    ...flat,
    prepare: (gpu, { size }) => {
      const host = numbers(size)(size);
      const x = fromArray(gpu, host, [size], "x");
      const y = poisoned(gpu, [size], "y");
      const clip = fromArray(gpu, new Float32Array([1, -1]), [2], "clip");
      return {
        launch: () => launchRestore({ x, clip, y }, { always: false }),
        outputs: [exact("y", y, () => host)],
      };
    },
  }),
  passOf("non-finite/count", SIZES, {
    ...flat,
    prepare: (gpu, { size }) => {
      const host = numbers(size)(size);
      for (let i = 0; i < size; i += 7) host[i] = i % 2 === 0 ? Number.NaN : Number.NEGATIVE_INFINITY;
      const x = fromArray(gpu, host, [size], "x");
      const total = fromArray(gpu, new Uint32Array(1), [1], "total");
      return {
        launch: () => launchCountNonFinite({ x, total }),
        outputs: [exact("total", total, () => [Math.ceil(size / 7)])],
      };
    },
  }),
  passOf(
    "gradient-noise/multiply",
    [
      { N: 1, K: 2 },
      { N: 65, K: 10 },
      { N: 4096, K: 10, network: "f1", paper: true },
    ],
    {
      label: caseLabel,
      cost: ({ N, K }) => ({ flops: 30 * N * K, bytes: 8 * N * K }),
      prepare: (gpu, { N, K }) => {
        const host = numbers(N + K)(N * K);
        const dlogits = fromArray(gpu, host, [N, K], "dlogits");
        const step = stepUniform(gpu, { seed: SEED, step: 4 });
        const factor = (n: number) => {
          const [first, second] = pcg4d([SEED, STREAMS.noise, 4, n]);
          return 1 + DEVIATION * normalsFromWords(first, second)[0];
        };
        const reference = () => Float64Array.from(host, (value, i) => value * factor(Math.floor(i / K)));
        // WGSL: cos errs by up to 2⁻¹¹ in absolute terms; the radius is at most √(2 · 24 · ln 2) = 5.8.
        const bound = DEVIATION * 6 * 2 ** -11 * largest(host);
        return {
          launch: () => launchGradientNoise({ dlogits, step }, { deviation: DEVIATION, firstSample: 0 }),
          outputs: [{ name: "dlogits", tensor: dlogits, reference, bound: () => bound }],
        };
      },
    },
  ),
];
