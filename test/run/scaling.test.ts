// What a dry run says of several ranks: what each holds and sends, and whether they pay.
import { expect, test } from "vitest";
import type { RankPlan } from "../../src/run/scaling.ts";
import { ghostbatch } from "../support/command-line.ts";

const BATCH = ["--batch-size", "4096", "--ghost-size", "128"];

async function plan(words: readonly string[]): Promise<RankPlan> {
  const ended = await ghostbatch(["train", ...words, "--dry-run", "--assume-limits", "h100", "--json"]);
  expect(ended.code).toBe(0);
  return JSON.parse(ended.stdout).scaling;
}

test("ranks hold whole ghosts of a batch, and send what the formula says", async () => {
  const f1 = await plan(["--model", "f1", ...BATCH, "--ranks", "8", "--link", "10GB/s"]);
  expect(f1).toMatchObject({ ranks: 8, shards: 8, link: 10e9, samples: new Array(8).fill(512) });
  // F1: 784·512 + 512·10 + 10 + 3 (512² + …) weights, and 4 norms of 512 channels with 4 ghosts a rank.
  const { parameters } = JSON.parse(
    (await ghostbatch(["train", "--model", "f1", ...BATCH, "--dry-run", "--assume-limits", "h100", "--json"]))
      .stdout,
  );
  const statistics = (f1.bytesPerStep - (14 / 8) * 4 * parameters) / 7;
  expect(statistics % (8 * 4)).toBe(0);
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
