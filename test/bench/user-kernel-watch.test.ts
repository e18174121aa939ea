// `bench kernel --watch` checks every version of a file, whenever and however it is saved.

import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { whenSaved } from "../../src/bench/when-saved.ts";
import { readTextFileIfAny } from "../../src/storage/text-file.ts";
import { limitMs } from "../support/limits.ts";
import { startProgram } from "../support/program.ts";
import { biasKernel, folder, kernelFile, RIGHT } from "../support/user-kernels.ts";

const WRONG = RIGHT.replace("x[i]", "2.0 * x[i]");

test("a file that is changed during a check, replaced, removed and written again", async () => {
  const file = join(folder, "watched.wgsl");
  writeFileSync(file, "first");
  const seen: (string | null)[] = [];
  const ended = new AbortController();
  // What happens after each look, or during one.
  const saves = [
    () => writeFileSync(file, "while it was checked"),
    () => {
      writeFileSync(`${file}.new`, "replaced");
      renameSync(`${file}.new`, file);
    },
    () => rmSync(file),
    () => void setTimeout(() => writeFileSync(file, "written anew"), 30),
    () => ended.abort(),
  ];
  await whenSaved(
    file,
    async () => {
      seen.push(readTextFileIfAny(file));
      saves[seen.length - 1]!();
      await new Promise((done) => setTimeout(done, 20));
    },
    { lookMs: 5, signal: ended.signal },
  );
  expect(seen).toEqual(["first", "while it was checked", "replaced", null, "written anew"]);
});

test("the command checks again in the same process, and continues after a mistake", async () => {
  const file = kernelFile(biasKernel(RIGHT));
  const args = ["bench", "kernel", file, "--as", "channel-bias/add", "--watch", "--shapes", "0"];
  const { child, ended } = startProgram(args);
  let shown = "";
  let checked: (text: string) => void = () => undefined;
  for (const stream of [child.stdout!, child.stderr!])
    stream.on("data", (text: string) => {
      shown += text;
      // The two streams arrive in any order.
      if (shown.includes("waiting for") && /cases correct|no such file/.test(shown)) checked(shown);
    });
  const next = () => {
    shown = "";
    return new Promise<string>((resolve, reject) => {
      checked = resolve;
      setTimeout(() => reject(new Error(`not checked: ${shown}`)), limitMs(60_000)).unref();
    });
  };
  try {
    expect(await next()).toMatch(/2 of 2 cases correct/);
    const wrong = next();
    writeFileSync(file, biasKernel(WRONG));
    expect(await wrong).toMatch(/0 of 2 cases correct/);
    const gone = next();
    rmSync(file);
    expect(await gone).toMatch(/: no such file\n/);
    const right = next();
    writeFileSync(file, biasKernel(RIGHT));
    expect(await right).toMatch(/2 of 2 cases correct/);
  } finally {
    child.kill("SIGINT");
  }
  expect(await ended).toMatchObject({ signal: "SIGINT" });
});
