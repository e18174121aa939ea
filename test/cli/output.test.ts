// Standard output and standard error that cannot be written: a run continues, and a lost result is an error.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BIN, type Ended, start } from "../support/program.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-output-"));
afterAll(() => rmSync(folder, { recursive: true }));

const OPTIONS = "--dataset synthetic:1x7x7:4:150:40 --width 16 --hidden 2 --batch-size 50 --max-steps 30";

/** Runs a line of shell, in which `ghostbatch` is the program. */
function shell(line: string): Promise<Ended> {
  const program = `ghostbatch() { "${process.execPath}" "${BIN}" "$@"; }`;
  return start("sh", ["-c", `${program}; ${line}`], { cwd: folder, env: { DEBUG: "" } }).ended;
}

const finished = (name: string) => existsSync(join(folder, "runs", name, "summary.json"));

describe.skipIf(process.platform === "win32")("output that nobody reads", () => {
  test("a reader that closes the pipe does not end a run", async () => {
    await shell(
      `{ ghostbatch train ${OPTIONS} --name piped 2>&1; echo $? >code; } | head -1; while [ ! -s code ]; do sleep 0.1; done`,
    );
    expect([readFileSync(join(folder, "code"), "utf8"), finished("piped")]).toEqual(["0\n", true]);
  });

  // On this Linux device every write fails as on a full disk.
  describe.skipIf(!existsSync("/dev/full"))("a full disk", () => {
    let trained: Ended;
    beforeAll(async () => {
      trained = await shell(`ghostbatch train ${OPTIONS} --name full 2>/dev/full`);
    });

    test("behind standard error does not end a run", () => {
      expect([trained.code, finished("full")]).toEqual([0, true]);
      expect(trained.stdout).toMatch(/^test accuracy/);
    });

    test("behind standard output is an error with exit code 2", async () => {
      const { code, stderr } = await shell("ghostbatch train --resume runs/full >/dev/full");
      expect([code, stderr]).toEqual([
        2,
        expect.stringMatching(/^error: standard output: cannot write: the disk is full.*\(ENOSPC\)$/m),
      ]);
      const help = await shell("ghostbatch --help >/dev/full");
      expect([help.code, help.stderr]).toEqual([2, expect.stringMatching(/^error: standard output/)]);
    });
  });

  test("a reader that stops early is not an error", async () => {
    const { stdout, stderr } = await shell(
      "{ ghostbatch doctor --help; echo $? >closed; } | true; while [ ! -s closed ]; do sleep 0.1; done",
    );
    expect([stdout, stderr, readFileSync(join(folder, "closed"), "utf8")]).toEqual(["", "", "0\n"]);
  });
});
