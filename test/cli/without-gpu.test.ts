// A login node without any GPU: plans, costs and scripts work, and name the adapter that they assume.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ghostbatch } from "../support/command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-login-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function planned(...words: string[]) {
  const { code, stdout, stderr } = await ghostbatch([...words, "--dry-run", "--json"]);
  return { code, stderr, plan: stdout === "" ? null : JSON.parse(stdout) };
}

test("a dry run names the adapter whose limits it assumes, and what exceeds them", async () => {
  const resnet = ["train", "--model", "resnet44", "--dataset", "cifar10", "--batch-size", "4096"];
  const h100 = await planned(...resnet, "--ghost-size", "128", "--assume-limits", "h100");
  // 2.02 GiB, of which the paper's network has 661,338 parameters and a step at most --memory, 2 GiB.
  expect(h100).toMatchObject({ code: 0, plan: { adapter: "NVIDIA H100 (assumed)", parameters: 661_338 } });
  expect(h100.plan.stepBytes).toBeLessThanOrEqual(2 ** 31);
  expect(h100.plan.stepBytes).toBeGreaterThan(2 ** 30);

  const alexnet = ["train", "--model", "alexnet", "--dataset", "imagenet", "--batch-size", "256"];
  expect((await planned(...alexnet, "--assume-limits", "a100")).plan.refused).toEqual([]);
  const least = await planned(...alexnet, "--assume-limits", "webgpu");
  expect(least.code).not.toBe(0);
  expect(least.stderr).toMatch(
    /61,110,184 parameters need 233 MiB .* any WebGPU device \(assumed\) allows 128 MiB/,
  );
});

test.each([
  [["train", "--assume-limits", "h100"], /--assume-limits h100: needs --dry-run/],
  [["train", "--dry-run", "--assume-limits", "h10"], /expected h100, h200, a100, webgpu, or a file/],
  [
    ["train", "--dry-run", "--assume-limits", "package.json"],
    /package\.json: expected the output of `ghostbatch doctor --json`/,
  ],
  [["train", "--dry-run", "--assume-limits", "h100", "--adapter", "x"], /--adapter x already names a GPU/],
  [["reproduce", "figure1", "--gres", "gpu:1"], /--gres: needs --emit slurm/],
  [["reproduce", "table1", "--time-limit", "2h"], /--time-limit: needs --emit slurm/],
  [
    ["reproduce", "table1", "--rows", "f1", "--emit", "slurm", "--on-usr2", "continue"],
    /--on-usr2 continue: with --emit slurm, SIGUSR2 means that a run's time is over; omit the option/,
  ],
])("%j is refused", async (words, message) => {
  const { code, stderr } = await ghostbatch(words);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});

test("without images, the message of a figure or table names an option that it has", async () => {
  const none = ["--data-dir", join(folder, "nothing")];
  const said = async (...words: string[]) => (await ghostbatch(["reproduce", ...words, ...none])).stderr;
  expect(await said("figure1", "--model", "c1")).toMatch(
    /C1: no images in .*, or choose another network with --model\n/,
  );
  expect(await said("table1", "--rows", "c1")).toMatch(/C1: no images in .*, or omit the row with --rows\n/);
  expect(await said("table2")).toMatch(
    /batch 4096: no images in .*; name ImageNet's folder, with train\/CLASS\/ and val\/CLASS\/, with --data-dir\n/,
  );
});

test("a cell that does not fit is reported before any is trained, with the option that helps", async () => {
  const cells = ["reproduce", "table1", "--rows", "resnet44", "--columns", "LB,GBN", "--scale", "full"];
  const { plan } = await planned(...cells, "--assume-limits", "h100");
  // At the paper's 4096 images, batch norm over the whole batch keeps all of them in memory.
  const refused = /one ghost of 4096 at a time needs ([\d.]+) GiB, but .* with --memory (\d+)$/;
  const [, needed, memory] = plan[0].refused.match(refused)!;
  expect(Number(memory) / 1024).toBeCloseTo(Number(needed), 0);
  expect(Number(needed)).toBeGreaterThan(8);
  expect(plan[1].refused).toBeNull();
  const enough = await planned(...cells, "--assume-limits", "h100", "--memory", memory);
  expect(enough.plan[0].refused).toBeNull();

  const runs = join(folder, "too-little");
  const emitted = [
    "reproduce",
    "table1",
    "--rows",
    "f1",
    "--columns",
    "SB,LB",
    "--memory",
    "1",
    "--emit",
    "slurm",
  ];
  const { code, stderr } = await ghostbatch([...emitted, "--runs-dir", runs]);
  expect([code, existsSync(runs)]).toEqual([2, false]);
  expect(stderr).toMatch(/error: F1 LB seed 0: a step with one ghost of 1024 at a time needs/);
});

test("a grid's dry run and a table's script need no GPU; the script has every cell once and the requested resources", async () => {
  const grid = join(folder, "grid.yaml");
  writeFileSync(grid, "name: rates\nbase: {dataset: synthetic}\ngrid: {learningRate: [0.05, 1.0e+30]}\n");
  const { plan } = await planned("sweep", grid, "--assume-limits", "h100");
  expect(plan.map(({ title }: { title: string }) => title)).toEqual([
    "rates-learningRate_0.05",
    "rates-learningRate_1e30",
  ]);

  const resources = ["--partition", "gpu", "--gres", "gpu:1", "--mem", "16G", "--time-limit", "4h"];
  const more = ["--sbatch=--account=me", "--sbatch=--qos=low"];
  const where = ["--rows", "f1", "--seeds", "0,1", "--runs-dir", folder];
  const { code, stdout, stderr } = await ghostbatch([
    "reproduce",
    "table1",
    ...where,
    "--emit",
    "slurm",
    ...resources,
    ...more,
  ]);
  expect([code, stderr]).toEqual([
    0,
    expect.stringMatching(/^adapter: NVIDIA H100 \(assumed\)\nto do: 10 runs: 6,432 steps, .* TFLOP\n$/),
  ]);
  const path = stdout.match(/^10 runs: submit them with\nsbatch (\S+)\n/)![1]!;
  const script = readFileSync(path, "utf8");
  expect(script).toContain(
    "#SBATCH --array=0-9\n#SBATCH --time=240\n#SBATCH --partition=gpu\n#SBATCH --gres=gpu:1\n#SBATCH --mem=16G\n#SBATCH --account=me\n#SBATCH --qos=low\n",
  );
  const names = [...script.matchAll(/--name (\S+)/g)].map(([, name]) => name!);
  expect(new Set(names).size).toBe(10);
  for (const name of names) {
    expect(name).toMatch(/^table1-f1-(SB|LB|LR|GBN|RA)-small-seed[01]-[0-9a-f]{12}$/);
    expect(existsSync(join(folder, "table1-small.sweep", `${name}.yaml`))).toBe(true);
  }
  expect(script).toContain(`#SBATCH --output='${join(folder, "table1-small.sweep", "slurm-%A_%a.out")}'
`);
});
