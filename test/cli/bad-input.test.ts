// Mistakes of a user: one line names the option, file, line or shape, the exit code is 2, and nothing is left behind.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ghostbatch, type Outcome } from "../support/command-line.ts";
import { BIN, runProgram, start } from "../support/program.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-bad-input-"));
afterAll(() => rmSync(folder, { recursive: true }));

let number = 0;
const newPath = (what: string) => join(folder, `${what}${number++}`);

const LITTLE = ["--dataset", "synthetic", "--max-steps", "2", "--width", "8", "--hidden", "1"];

/** Warnings may come before the error. */
function expectOneError({ code, stdout, stderr }: Outcome, message: RegExp, exitCode = 2): void {
  const lines = stderr
    .trimEnd()
    .split("\n")
    .filter((line) => !line.startsWith("warning: "));
  expect({ code, lines, stdout }).toEqual({
    code: exitCode,
    lines: [expect.stringMatching(/^error: /)],
    stdout: "",
  });
  expect(lines[0]).toMatch(message);
}

/** Trains into a new runs folder, which must still be empty afterwards. */
async function expectRefused(args: readonly string[], message: RegExp): Promise<void> {
  const runs = newPath("runs");
  expectOneError(await ghostbatch(["train", "--runs-dir", runs, ...args]), message);
  expect(existsSync(runs) ? readdirSync(runs) : []).toEqual([]);
}

describe("options", () => {
  const NEAREST = /unknown option '--batch-siez'.*Did you mean --batch-size\?/;

  test("unknown: the error suggests the nearest one", async () => {
    await expectRefused(["--batch-siez", "3"], NEAREST);
    expectOneError(await runProgram(["train", "--batch-siez", "3"]), NEAREST);
  });

  test("too many words, or too few: the help is named", async () => {
    expectOneError(await ghostbatch(["train", "x"]), /too many arguments .* See `ghostbatch train --help`$/);
    expectOneError(
      await ghostbatch(["weights", "import"]),
      /'file'; see `ghostbatch weights import --help`$/,
    );
  });

  test("an unknown verb", async () => {
    expectOneError(await ghostbatch(["trian"]), /unknown command 'trian'.*Did you mean train\?/);
  });

  test.each([["0"], ["abc"], ["12.5"]])("a batch size of %s", async (size) => {
    await expectRefused(
      ["--batch-size", size],
      new RegExp(`--batch-size .*'${size}'.*whole number of at least 1`),
    );
  });

  test("a number out of range", async () => {
    await expectRefused([...LITTLE, "--momentum", "1"], /--momentum .*'1'.*number of at least 0 and below 1/);
  });

  test("a ghost size larger than the batch", async () => {
    await expectRefused(
      [...LITTLE, "--batch-size", "64", "--ghost-size", "65"],
      /--ghost-size 65: .*--batch-size is 64/,
    );
  });

  test("a ghost size that leaves a ghost of one value", async () => {
    await expectRefused(
      [...LITTLE, "--batch-size", "64", "--ghost-size", "1"],
      /ghost size of 1 leaves batch norm only one value per channel/,
    );
  });

  test.each([
    [
      ["--lr-reference-batch", "64"],
      /--lr-reference-batch 64: it has no effect with --lr-rule none and --regime original/,
    ],
    [["--warmup-steps", "5"], /--warmup-steps 5: .*--lr-rule sqrt or linear/],
    [["--data-dir", "somewhere"], /--data-dir somewhere: the data set synthetic has no files/],
    [["--variant", "keskar"], /'--variant .*This option is now called --topology/],
    [["--partial", "exakt"], /'--partial .*Expected one of authors, exact, .*did you mean exact\?/],
    [["--model", "c1"], /model c1: unknown option hidden; its options are width, gamma, topology/],
  ] as const)("that have no effect or do not fit the network: %j", async (options, message) => {
    await expectRefused([...LITTLE, ...options], message);
  });
});

describe("a configuration file", () => {
  test.each([
    ["an unknown key", "dataset: synthetic\n\nbatchsize: 3\n", /:3: batchsize: .*did you mean batchSize\?/],
    [
      "an unknown nested key, beside the correct one",
      "subset:\n  train: 3\n  tset: 4\n  seed: 0\n",
      /:3: subset\.tset: /,
    ],
    [
      "a value of the wrong type",
      'dataset: synthetic\n# the batch\nbatchSize: "3"\n',
      /:3: batchSize: .*expected a whole number of at least 1, found "3"/,
    ],
    [
      "two documents",
      "dataset: synthetic\n---\nseed: 1\n",
      /:\d: expected one document, found another after ---/,
    ],
    [
      "text that is not YAML",
      "dataset: synthetic\n  batchSize: [3\n",
      /:1: expected options, .* found "dataset: synthetic"; check indentation/,
    ],
    [
      "a key given twice",
      "dataset: synthetic\nseed: 1\nseed: 2\n",
      /:3: seed is given twice; keep one of them/,
    ],
    ["a tab", "dataset: synthetic\n\tseed: 1\n", /:2: expected spaces before a key, found a tab/],
    ["a tag", "dataset: !!name synthetic\n", /:1: expected a value without a tag, found "!!name synthetic"/],
    ["a list as a key", "? [a, b]\n: 1\n", /:1: expected the name of an option before the colon/],
    ["an alias of nothing", "dataset: *data\n", /: expected values, found an alias .*; write out the value/],
    ["nothing", "\n", /: expected options, .*, found an empty file/],
    ["other bytes", "seed: \0\n", /: expected YAML in UTF-8, found other bytes/],
    [
      "a long value of another type",
      `seed: ${"9".repeat(5000)}\n`,
      /:1: seed: expected a whole .*found .{1,70}$/,
    ],
    [
      "aliases that multiply",
      `a: &a [1, 1]\n${["b", "c", "d"].map((key, i) => `${key}: &${key} [${`*${"abc"[i]},`.repeat(20)}]\n`).join("")}`,
      /: expected values, found an alias/,
    ],
  ])("with %s: its line", async (_, text, message) => {
    const path = `${newPath("config")}.yaml`;
    writeFileSync(path, text);
    await expectRefused(["--config", path], message);
    expectOneError(await ghostbatch(["train", "--config", path]), new RegExp(path.replaceAll(".", "\\.")));
  });

  test("with a byte-order mark, or lines as Windows ends them, is read as another", async () => {
    for (const text of ["\ufeffdataset: synthetic\nseed: x\n", "dataset: synthetic\r\nseed: x\r\n"]) {
      const path = `${newPath("config")}.yaml`;
      writeFileSync(path, text);
      await expectRefused(["--config", path], /:2: seed: expected a whole number .*, found "x"$/);
    }
  });

  test("that does not exist", async () => {
    await expectRefused(["--config", join(folder, "none.yaml")], /none\.yaml: .*no such file/);
  });
});

describe("data", () => {
  /** An idx file of bytes like MNIST's. */
  const idx = (shape: readonly number[], values: readonly number[]) => {
    const header = Buffer.alloc(4 + 4 * shape.length);
    header.writeUInt8(8, 2);
    header.writeUInt8(shape.length, 3);
    for (const [i, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * i);
    return Buffer.concat([header, Buffer.from(values)]);
  };
  const images = idx([3, 28, 28], new Array(3 * 784).fill(7));
  const labels = idx([3], [1, 2, 3]);
  const good = {
    "train-images-idx3-ubyte": images,
    "train-labels-idx1-ubyte": labels,
    "t10k-images-idx3-ubyte": images,
    "t10k-labels-idx1-ubyte": labels,
  };

  test.each([
    [
      "truncated",
      { "train-images-idx3-ubyte": images.subarray(0, 1000) },
      /train-images-idx3-ubyte: byte 4: .*2368 bytes, but the file has 1000 .*truncated/,
    ],
    [
      "foreign",
      { "t10k-images-idx3-ubyte": Buffer.from("\x89PNG\r\n\x1a\n") },
      /t10k-images-idx3-ubyte: byte 0: expected an idx file .*found (89|c2 89)/,
    ],
    [
      "with a label out of range",
      { "train-labels-idx1-ubyte": idx([3], [1, 12, 3]) },
      /train-labels-idx1-ubyte: label 12 of sample 1 \(byte 9\).*0 to 9/,
    ],
  ])("that is %s", async (_, changes, message) => {
    const dataDir = newPath("data");
    mkdirSync(dataDir);
    for (const [name, bytes] of Object.entries({ ...good, ...changes }))
      writeFileSync(join(dataDir, name), bytes);
    await expectRefused(["--data-dir", dataDir], message);
  });
});

describe("limits of the adapter and the disk", () => {
  test("an existing run folder is not touched", async () => {
    const runs = newPath("runs");
    mkdirSync(join(runs, "mine"), { recursive: true });
    writeFileSync(join(runs, "mine", "notes.txt"), "precious");
    expectOneError(
      await ghostbatch(["train", ...LITTLE, "--runs-dir", runs, "--name", "mine"]),
      /mine already exists: choose another --name/,
    );
    expect([readdirSync(runs), readdirSync(join(runs, "mine"))]).toEqual([["mine"], ["notes.txt"]]);
  });

  test("a runs folder that cannot be created", async () => {
    const file = newPath("file");
    writeFileSync(file, "");
    const outcome = await ghostbatch(["train", ...LITTLE, "--runs-dir", join(file, "runs"), "--name", "x"]);
    expectOneError(outcome, /runs: cannot create the folder: part of the path is a file, not a folder/);
  });

  test.each([
    ["40000", "6,43\\d,\\d{3},\\d{3} parameters need 24\\.0 GiB"],
    // Too large to dispatch its kernels, too.
    ["10000000", "[\\d,]+ parameters need [\\d,.]+ [TPE]iB"],
  ])(
    "a model too large for the adapter, of width %s: the error gives needed and available bytes, and what would fit",
    async (width, need) => {
      const message = new RegExp(
        `model: its ${need} in one buffer, but .* allows [\\d.]+ [MG]iB: a model of up to [\\d,]+ parameters fits`,
      );
      await expectRefused(["--dataset", "synthetic", "--width", width], message);
      const dry = await ghostbatch(["train", "--dry-run", "--dataset", "synthetic", "--width", width]);
      expect([dry.code, dry.stdout + dry.stderr]).toEqual([2, expect.stringMatching(message)]);
    },
  );

  test("a step that needs more than the memory allowed", async () => {
    await expectRefused(
      ["--dataset", "synthetic", "--batch-size", "4096", "--memory", "1"],
      /one ghost of 4096 at a time needs [\d.]+ MiB, but 1\.00 MiB are allowed: use ghosts of \d+, which need [\d.]+ [KM]iB, or allow as much with --memory \d+/,
    );
  });
});

describe("a full disk", () => {
  // A file system of one page, in a separate mount namespace.
  const inside = (command: string) => [
    "-rm",
    "sh",
    "-c",
    `mount -t tmpfs -o size=4k,nr_inodes=9 none "${folder}" && ${command}`,
  ];
  let canMount = false;
  beforeAll(async () => {
    canMount =
      process.platform === "linux" &&
      (await start("unshare", inside("true")).ended.catch(() => null))?.code === 0;
  });

  test("is reported, and nothing is left on it", async ({ skip }) => {
    if (!canMount) skip("this process may not mount a file system");
    const train = `"${process.execPath}" "${BIN}" train ${LITTLE.join(" ")} --runs-dir "${folder}/runs" --name full`;
    const { code, stdout, stderr } = await start(
      "unshare",
      inside(`{ ${train}; code=$?; ls -A "${folder}/runs"; exit $code; }`),
    ).ended;
    expectOneError({ code, stdout, stderr }, /full: cannot create the run folder: the disk is full/);
  });
});

describe("sizes are checked before anything of that size is allocated", () => {
  test.each([
    ["a width", ["--width", "1000000000"], /--width.*Expected a whole number from 1 to/],
    ["a depth", ["--hidden", "100000000"], /--hidden.*Expected a whole number from 1 to/],
    ["weights", ["--width", "1000000"], /parameters need .* TiB in one buffer/],
    [
      "images",
      ["--dataset", "synthetic:3x224x224:10:1000000:10"],
      /synthetic data: .*at most .* GiB are allowed/,
    ],
    [
      "patterns",
      ["--dataset", "synthetic:3x224x224:65536:10:10"],
      /65536 classes.*at most .* GiB are allowed/,
    ],
    ["channels", ["--dataset", "synthetic:1000000000000x1x1:10"], /PiB; at most .* GiB are allowed/],
    ["all numbers", ["--dataset", `synthetic:${"9".repeat(400)}x1x1:10`], /expected a whole number/],
    [
      "a large model with a large data set",
      ["--dataset", "synthetic:1x28x28:10:4000000:10", "--width", "1000000"],
      /in one buffer/,
    ],
  ])("%s", async (_, args, message) => {
    await expectRefused(args, message);
  });
});
