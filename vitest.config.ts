import { configDefaults, defineConfig } from "vitest/config";

const SLOW = {
  reproduction: "test/reproduction/**/*.test.ts",
  faults: "test/faults/**/*.test.ts",
  soak: "test/soak/**/*.test.ts",
};

export default defineConfig({
  test: {
    // One process at a time: they share the one GPU, and a software GPU takes all cores.
    pool: "forks",
    maxWorkers: 1,
    // The first dispatch of a kernel compiles it, which takes a software GPU up to some seconds.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ["default", "./test/support/plain-summary.ts"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...Object.values(SLOW)],
        },
      },
      // Training runs of minutes, and processes that are killed on purpose: each by its own name.
      { extends: true, test: { name: "reproduction", include: [SLOW.reproduction], testTimeout: 3_600_000 } },
      { extends: true, test: { name: "faults", include: [SLOW.faults], testTimeout: 600_000 } },
      { extends: true, test: { name: "soak", include: [SLOW.soak] } },
    ],
  },
});
