import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { missingVulkanLoader } from "../../../src/host/node/node-webgpu.ts";
import { softwareNodePath } from "../../../src/host/node/software-gpu.ts";
import { builtProgram } from "../../support/built-program.ts";
import { BIN, type Ended, runProgram, start } from "../../support/program.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const NOISY = await builtProgram("noisy-program");
const MEANWHILE = `Warning: vkCreateDevice failed with VK_ERROR_INITIALIZATION_FAILED
    at CheckVkSuccessImpl (/some/where/dawn/src/dawn/native/vulkan/VulkanError.cpp:106)

a driver: Warning: maxDynamic is not at the beginning of this line
own line, meanwhile
`;

function noisy(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return start(process.execPath, [NOISY, ...args], { env: { DEBUG: "", ...env } }).ended;
}

describe.skipIf(process.platform !== "linux")("lines that libraries write to standard error", () => {
  test("harmless ones are suppressed, all others appear in order", async () => {
    const { code, stderr } = await noisy();
    expect(stderr).toBe(`own line, before\n${MEANWHILE}own line, after\n`);
    expect(code).toBe(0);
  });

  test("the lines of a driver that crashes the process appear", async () => {
    const { signal, stderr } = await noisy(["crash"]);
    expect(signal).toBe("SIGSEGV");
    expect(stderr).toBe(`own line, before\n${MEANWHILE}`);
  });

  test("DEBUG suppresses nothing", async () => {
    const { stderr } = await noisy([], { DEBUG: "1" });
    expect(stderr.match(/^Warning/gm)).toHaveLength(4);
  });

  test("one file for both outputs receives all lines of both", () => {
    const path = join(temporaryFolder(), "log");
    const file = openSync(path, "w");
    spawnSync(process.execPath, [NOISY], {
      stdio: ["ignore", file, file],
      env: { ...process.env, DEBUG: "" },
    });
    closeSync(file);
    const lines = readFileSync(path, "utf8").split("\n");
    for (const line of [
      ...["before", "meanwhile", "after"].map((when) => `standard output, ${when}`),
      ...`own line, before\n${MEANWHILE}own line, after`.split("\n"),
    ]) {
      expect(lines).toContain(line);
    }
  });

  test("a missing Vulkan loader is found without Dawn", () => {
    expect(missingVulkanLoader("libghostbatch-nowhere.so.1")).toMatch(/libghostbatch-nowhere\.so\.1/);
    expect(missingVulkanLoader("libm.so.6")).toBeNull();
  });
});

describe("a command that opens the GPU writes nothing to standard error", () => {
  test("in the process that was started", async () => {
    expect(await runProgram(["doctor"])).toMatchObject({ code: 0, stderr: "" });
  });

  test("relaunched on the software GPU", async ({ skip }) => {
    if (softwareNodePath() === null) skip("no software GPU is installed, so no process starts another");
    // The node of PATH, which does not reach the software GPU.
    const { code, stderr } = await start("node", [BIN, "doctor"], {
      env: { DEBUG: "", NO_COLOR: "1" },
    }).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });
});
