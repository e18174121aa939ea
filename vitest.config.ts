import { availableParallelism } from "node:os";
import { configDefaults, defineConfig } from "vitest/config";
import { limitMs } from "./test/support/limits.ts";

const SLOW = {
  reproduction: "test/reproduction/**/*.test.ts",
  faults: "test/faults/**/*.test.ts",
  soak: "test/soak/**/*.test.ts",
};

/** Tests that put something else in the place of Node's own modules: each needs those of the project to be loaded anew. */
const MOCKING = ["test/datasets/streamed.test.ts", "test/storage/{folder,metrics-log}.test.ts"];

/** Tests that close the GPU they open, in the end of each file: they share one process, and load the engine once. */
const CLOSING = ["test/{kernels,models,nn,ops,train}/**/*.test.ts"];

/**
 * Launchers of several processes, which wait for each other, sleep, and are killed, and searches for what is faster: nothing else runs beside
 * them.
 */
const ALONE = ["test/host/node/mpi.test.ts", "test/bench/tune.test.ts"];

/** Tests that open no GPU. */
const WITHOUT_GPU = [
  "test/{data,datasets,paper,report,storage,support}/**/*.test.ts",
  "test/cli/{progress,unseen-images,watch,without-gpu}.test.ts",
  "test/gpu/{adapter,shaders,wgsl}.test.ts",
  "test/host/node/rank-adapter.test.ts",
  "test/measure/{loss-spread,noise-scale}.test.ts",
  "test/reference/!(model).test.ts",
  "test/run/{damaged-files,damaged-texts,resume,run-options}.test.ts",
  "test/scripts/apt-sources.test.ts",
  "test/train/{ghosts,paper-regimes,regime}.test.ts",
  "test/verify/compare.test.ts",
  "test/web/log-ticks.test.ts",
  "test/web/settings.test.ts",
];

export default defineConfig({
  test: {
    pool: "forks",
    // The first dispatch of a kernel compiles it, which takes a software GPU up to some seconds.
    testTimeout: limitMs(120_000),
    hookTimeout: limitMs(120_000),
    setupFiles: "./test/support/same-bytes.ts",
    reporters: ["default", "./test/support/plain-summary.ts"],
    projects: [
      inParallel("cpu", {
        include: WITHOUT_GPU,
        exclude: [...configDefaults.exclude, ...MOCKING],
        isolate: false,
      }),
      inParallel("cpu-mocking", { include: MOCKING }),
      threeAtATime("gpu-shared", {
        include: CLOSING,
        exclude: [...configDefaults.exclude, ...WITHOUT_GPU],
        isolate: false,
      }),
      // A process for each file: one that kept the devices of all of them open grew to 5.5 GB, and ended with a crash.
      threeAtATime("gpu", {
        include: ["test/**/*.test.ts"],
        exclude: [...configDefaults.exclude, ...Object.values(SLOW), ...WITHOUT_GPU, ...CLOSING, ...ALONE],
      }),
      oneAtATime("gpu-alone", { include: ALONE }),
      // Training runs of minutes, and processes that are killed on purpose: each by its own name.
      oneAtATime("reproduction", {
        include: [SLOW.reproduction],
        testTimeout: limitMs(3_600_000),
        hookTimeout: limitMs(600_000),
      }),
      oneAtATime("faults", { include: [SLOW.faults], testTimeout: limitMs(600_000) }),
      oneAtATime("soak", { include: [SLOW.soak] }),
    ],
  },
});

/** A project of tests that open no GPU. One that does finds no driver here, and says so: it belongs to the project `gpu`. */
function inParallel(name: string, test: object) {
  const env = { VK_DRIVER_FILES: "none for tests that open no GPU" };
  // Vitest leaves one core free by default, which is half of a small machine.
  const maxWorkers = availableParallelism();
  return { extends: true as const, test: { name, env, maxWorkers, sequence: { groupOrder: 0 }, ...test } };
}

/**
 * A project of tests that share the one GPU. A software GPU takes all cores while it computes; the tests also start programs, compile and
 * wait, so three files at a time take less time than one (on two cores 174 s, two at a time 193 s).
 */
function threeAtATime(name: string, test: object) {
  return { extends: true as const, test: { name, maxWorkers: 3, sequence: { groupOrder: 1 }, ...test } };
}

/** A project of tests that have the GPU to themselves. */
function oneAtATime(name: string, test: object) {
  return { extends: true as const, test: { name, maxWorkers: 1, sequence: { groupOrder: 2 }, ...test } };
}
