// The process in which a user's kernel runs: a kernel that never ends, a file that changes, a process that dies.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { UserKernelProcess } from "../../src/bench/user-kernel-process.ts";
import { biasKernel, kernelFile, quick, RIGHT } from "../support/user-kernels.ts";

test("a kernel that never ends is reported and its process ended; the changed file is then checked again", async () => {
  const forever = `var n = 1u;
  loop { n = n * 3u + SIZE; if (n == 0u) { break; } }
  ${RIGHT.replace("x[i]", "f32(n) + x[i]")}`;
  const phases: string[] = [];
  const file = kernelFile(biasKernel(forever));
  const bench = new UserKernelProcess(
    { file, as: "channel-bias/add", ...quick },
    { limitSeconds: 4, onPhase: (phase) => phases.push(phase) },
  );
  const report = await bench.check();
  expect(report.passed).toBe(false);
  const message = expect.stringMatching(/^no end after 4 s while checking channel-bias\/add/);
  expect(report.problems).toEqual([{ kind: "never ends", message }]);
  expect(phases).toContain("reading");
  try {
    writeFileSync(file, biasKernel(RIGHT));
    expect(await bench.check()).toMatchObject({ passed: true, casesChecked: 2 });
    writeFileSync(file, biasKernel(RIGHT.replace("x[i]", "2.0 * x[i]")));
    expect(await bench.check()).toMatchObject({ passed: false, casesWrong: 2 });
    // A process that dies between two checks, for example for lack of memory, is replaced.
    const children = childrenWith(file);
    expect(children).toHaveLength(1);
    process.kill(children[0]!, "SIGKILL");
    expect(await bench.check()).toMatchObject({ passed: false, casesWrong: 2 });
    rmSync(file);
    await expect(bench.check()).rejects.toThrow(/no such file$/);
  } finally {
    bench.close();
  }
});

/** Process ids of this process's children with a word on their command line (Linux). */
function childrenWith(word: string): number[] {
  const all = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ");
  return all.map(Number).filter((id) => readFileSync(`/proc/${id}/cmdline`, "utf8").includes(word));
}
