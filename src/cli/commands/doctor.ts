import Table from "cli-table3";
import { Command, Option } from "commander";
import { measureVariants } from "../../bench/choose-variant.ts";
import { type SelfTest, selfTest } from "../../bench/self-test.ts";
import { LIMIT_NAMES } from "../../gpu/assumed-gpu.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { matrixSizeText } from "../../gpu/matrices.ts";
import type { Variant } from "../../gpu/variant.ts";
import { type Launch, launchOf } from "../../host/node/mpi/launcher.ts";
import { type ListedAdapter, listAdapters } from "../../host/node/node-webgpu.ts";
import { openGpu } from "../../host/node/open-gpu.ts";
import { storedTuning, type TuningFile, tuningPath } from "../../host/node/tuning-store.ts";
import { rememberTimes, type VariantChoice, variantChoice } from "../../host/node/variant-choice.ts";
import { isMatrixTile } from "../../kernels/tile-choice.ts";
import { versions } from "../../run/environment.ts";
import { formatBytes, formatQuantity } from "../../support/format.ts";
import { joinRanks } from "../join-ranks.ts";
import { adapterOption, jsonOption } from "../options.ts";

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("show the adapter, its limits and features; run a self-test of about a second")
    .addOption(adapterOption())
    .addOption(new Option("--measure", "measure the kernel variants again"))
    .addOption(jsonOption())
    .addHelpText("after", "\nStarted by mpirun, mpiexec or srun, it shows the adapter of each rank instead.")
    .action(async ({ adapter, measure, json }: { adapter?: string; measure?: boolean; json?: boolean }) => {
      const launch = launchOf();
      if (launch !== null) return showRanks(launch, { adapter, json });
      const gpu = await openGpu({ adapter, relaunch: true });
      const kernels = await chosenVariant(gpu, measure ?? false);
      const limits = Object.fromEntries(LIMIT_NAMES.map((name) => [name, gpu.device.limits[name]]));
      const features = [...gpu.device.features].sort();
      const tested = await selfTest(gpu);
      const facts = {
        adapter: gpu.adapter,
        adapters: await listAdapters(),
        variant: gpu.variant,
        kernels,
        tuning: storedTuning(gpu.adapter),
        limits,
        features,
        versions: versions(),
        selfTest: tested,
      };
      console.log(json ? JSON.stringify(facts, null, 2) : text(facts));
    });
}

/** Rank 0 prints the adapter of each rank. */
function showRanks(
  launch: Launch,
  { adapter, json }: { adapter: string | undefined; json: boolean | undefined },
): Promise<void> {
  return joinRanks(launch, { adapter }, async ({ communicator, adapters }) => {
    if (communicator.rank > 0) return;
    if (json) {
      console.log(JSON.stringify({ ranks: adapters }, null, 2));
      return;
    }
    const table = new Table({
      head: ["rank", "host", "adapter", "PCI address", "by"],
      style: { head: [], border: [] },
    });
    for (const { rank, host, adapter: name, pci, by } of adapters)
      table.push([rank, host, name, pci ?? "unknown", by]);
    console.log(table.toString());
  });
}

function text(facts: {
  adapter: Gpu["adapter"];
  adapters: readonly ListedAdapter[];
  kernels: VariantChoice;
  tuning: TuningFile | null;
  limits: Record<string, number>;
  features: string[];
  versions: Record<string, string>;
  selfTest: SelfTest;
}): string {
  const { adapter, kernels, limits, features, selfTest: found } = facts;
  const lanes = `subgroups of ${adapter.subgroupMinSize} to ${adapter.subgroupMaxSize} lanes`;
  return [
    `adapter    ${adapter.name} (${adapter.vendor}, ${adapter.architecture})`,
    `there are  ${facts.adapters.map(({ name, backend }) => `${name} (${backend})`).join(", ")}`,
    `kind       ${adapter.software ? "software: correct but slow, for tests and small experiments" : "hardware"}`,
    `kernels    ${kernels.variant} variants, by ${reasonText(kernels)} (${adapter.subgroupMaxSize > 0 ? lanes : "no subgroups"})`,
    `matrices   ${matricesText(adapter, kernels.variant)}`,
    `tuning     ${tuningText(adapter, facts.tuning)}`,
    `limits     ${Object.entries(limits)
      .map(([name, value]) => `${name} ${/Size$/.test(name) ? formatBytes(value) : value}`)
      .join(", ")}`,
    `features   ${features.join(", ")}`,
    `versions   ${Object.entries(facts.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}`,
    `self-test  ${found.checked} passes of a training step are correct; matrix multiplication at ${formatQuantity(found.gflops * 1e9, "FLOP/s")}`,
  ].join("\n");
}

/** The variants that the adapter uses. The first time, and with --measure, after a short measurement, which is stored. */
async function chosenVariant(gpu: Gpu, again: boolean): Promise<VariantChoice> {
  if (again || variantChoice(gpu).times === null) {
    const times = await measureVariants(gpu);
    if (times) await rememberTimes(gpu.adapter, times);
  }
  const choice = variantChoice(gpu);
  gpu.variant = choice.variant;
  return choice;
}

/** The sizes of subgroup matrices, and whether runs in mixed precision use them. */
function matricesText({ matrices }: Gpu["adapter"], variant: Variant): string {
  if (matrices.length === 0) return "none: mixed precision runs on the same kernels as f32";
  const sizes = matrices.map(matrixSizeText).join(", ");
  return variant === "matrix"
    ? `${sizes}; runs in mixed precision use them, except for shapes that \`ghostbatch tune --precision mixed\` finds faster without`
    : `${sizes}; not used, GHOSTBATCH_VARIANT=matrix lets runs in mixed precision use them`;
}

function tuningText(adapter: Gpu["adapter"], tuning: TuningFile | null): string {
  if (tuning === null) return "none; `ghostbatch tune` finds the fastest kernel tiles on this adapter";
  const steps = tuning.steps.map(
    ({ model, batch, ghostSize, precision, date }) =>
      `${model} at ${batch} in ghosts of ${ghostSize}${precision === "mixed" ? " in mixed precision" : ""} (${date})`,
  );
  const ways = Object.values(tuning.choices);
  const matrices = ways.filter(isMatrixTile).length;
  const wide = ways.filter((way) => way["variant"] === "wide").length;
  const variants =
    matrices + wide > 0
      ? `, ${matrices} of them fastest on matrices and ${wide} on wide kernels instead`
      : "";
  return `${ways.length} shapes of kernels measured${variants}, for ${steps.join(", ")}; ${tuningPath(adapter)}`;
}

function reasonText({ reason, times }: VariantChoice): string {
  const found = Object.entries(times ?? {})
    .map(([variant, ms]) => `${variant} ${ms.toPrecision(3)} ms`)
    .join(", ");
  if (reason === "features") return "its features";
  if (reason === "tuned") return `its tuning, per shape; measured as a whole: ${found}`;
  if (reason === "measured") return `measurement: ${found}`;
  return `${reason}${found === "" ? "" : `, against a measurement: ${found}`}`;
}
