// What a dry run with --ranks reports: what each rank holds and sends, and whether several ranks are worthwhile.
import { expect, test } from "vitest";
import type { RankPlan } from "../../src/run/scaling.ts";
import { ghostbatch } from "../support/command-line.ts";

const BATCH = ["--batch-size", "4096", "--ghost-size", "128"];

async function plan(words: readonly string[]): Promise<RankPlan> {
  const ended = await ghostbatch(["train", ...words, "--dry-run", "--assume-limits", "h100", "--json"]);
  expect(ended.code).toBe(0);
  return JSON.parse(ended.stdout).scaling;
}

test("ranks hold whole ghosts of a batch, and the bytes and times follow the formula", async () => {
  const f1 = await plan(["--model", "f1", ...BATCH, "--ranks", "8", "--link", "10GB/s"]);
  expect(f1).toMatchObject({ ranks: 8, shards: 8, link: 10e9, samples: new Array(8).fill(512) });
  // Gradients of 4 bytes, twice 7/8 of them; then mean and variance of 5 norms of 512 channels, 4 ghosts a rank, to 7 others.
  const gradient = 4 * 1_462_794;
  expect(f1.bytesPerStep).toBe((14 / 8) * gradient + 7 * (2 * 4 * 5 * 512 * 4));
  expect(f1.exchangeSeconds).toBeCloseTo(0.4e-9 * gradient + f1.bytesPerStep / 10e9, 12);
  expect(f1.efficiency).toBeCloseTo(f1.stepSeconds / (f1.stepSeconds + 8 * f1.exchangeSeconds), 6);
});

test("F1 is advised against, ResNet44 is not; shards that ranks cannot share are refused", async () => {
  const words = (model: string) => [
    "train",
    "--model",
    model,
    ...BATCH,
    "--dry-run",
    "--assume-limits",
    "h100",
  ];
  const resnet = await ghostbatch([...words("resnet44"), "--dataset", "cifar10", "--ranks", "8"]);
  expect(resnet.stdout).toMatch(/^ranks {8}8 with 1 of 8 shards and 512 images of a batch each/m);
  expect(resnet.stdout).toMatch(/^efficiency {3}\d\d % of 8 GPUs, by a model: /m);
  expect(resnet.stdout).not.toContain("do not pay");
  expect((await ghostbatch([...words("f1"), "--ranks", "8"])).stdout).toMatch(/^ranks do not pay here: /m);
  const uneven = await ghostbatch([...words("f1"), "--ranks", "8", "--shards", "4"]);
  expect(uneven).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("--shards 4: 8 ranks cannot share"),
  });
  const trained = await ghostbatch(["train", "--ranks", "8"]);
  expect(trained).toMatchObject({ code: 2, stderr: expect.stringContaining("--ranks: needs --dry-run") });
});
