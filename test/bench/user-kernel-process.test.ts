// A kernel that never ends, and a file that changes: the process in which kernels of a user's own run.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { UserKernelProcess } from "../../src/bench/user-kernel-process.ts";
import { biasKernel, kernelFile, quick, RIGHT } from "../support/user-kernels.ts";

test("a kernel that never ends takes down a process of its own, and is told; the file is checked again as it is then", async () => {
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
    // One that dies between two checks, of the lack of memory for example, is replaced.
    for (const id of childrenWith(file)) process.kill(id, "SIGKILL");
    expect(await bench.check()).toMatchObject({ passed: false, casesWrong: 2 });
    rmSync(file);
    await expect(bench.check()).rejects.toThrow(/no such file$/);
  } finally {
    bench.close();
  }
});

/** Process numbers of this process's children with a word on their command line (Linux). */
function childrenWith(word: string): number[] {
  const all = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ");
  return all.map(Number).filter((id) => readFileSync(`/proc/${id}/cmdline`, "utf8").includes(word));
}
