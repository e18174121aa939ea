import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { loadModel } from "../../host/node/model-file.ts";
import { openGpu } from "../../host/node/open-gpu.ts";
import { modelLabel } from "../../models/index.ts";
import { specOfRun } from "../../run/config-file.ts";
import { completeSpec } from "../../run/run-spec.ts";
import { exportWeights, importWeights } from "../../run/weights.ts";
import { formatCount } from "../../support/format.ts";
import { adapterOption, dataDirOption, jsonOption } from "../options.ts";
import { loadOptions } from "../transfer-line.ts";

export function weightsCommand(): Command {
  return new Command("weights")
    .description(
      "convert weights to and from PyTorch: safetensors files with the names of the authors' models",
    )
    .addCommand(exportCommand())
    .addCommand(importCommand());
}

function exportCommand(): Command {
  return new Command("export")
    .description("write a run's weights for PyTorch's load_state_dict")
    .argument("<run>", "run folder, or its weights file")
    .requiredOption("--out <file>", "safetensors file to write")
    .option("--aliases", "also write the second names (feats.…) that the authors' residual networks require")
    .action(async (run: string, { out, aliases = false }: { out: string; aliases?: boolean }) => {
      const count = await exportWeights(run, out, { aliases });
      console.log(`${out}: ${formatCount(count)} tensors`);
    });
}

function importCommand(): Command {
  return new Command("import")
    .description("load weights into a network, evaluate it, and write them in this engine's format")
    .argument("<file>", "safetensors file from PyTorch, or a run folder")
    .option(
      "--run <folder>",
      "take network and data set from this run (default: the file's own folder, if it is a run's)",
    )
    .option("--model <name>", "network, if there is no run")
    .option("--dataset <name>", "data set to evaluate on, if there is no run (default: mnist)")
    .option("--out <file>", "safetensors file to write")
    .addOption(dataDirOption())
    .addOption(adapterOption())
    .addOption(jsonOption())
    .action(runImport);
}

async function runImport(
  source: string,
  options: {
    run?: string;
    model?: string;
    dataset?: string;
    out?: string;
    dataDir?: string;
    adapter?: string;
    json?: boolean;
  },
): Promise<void> {
  const { model, dataset, out: target, adapter, json } = options;
  const run = options.run ?? (existsSync(join(source, "config.yaml")) ? source : undefined);
  const named = model === undefined ? {} : { model: await loadModel(model) };
  const spec = run === undefined ? completeSpec({ dataset, ...named }) : specOfRun(run);
  if (run !== undefined) await loadModel(spec.model);
  const gpu = await openGpu({ adapter, relaunch: true });
  const imported = await importWeights(gpu, spec, { source, target, load: loadOptions(options) });
  if (json) {
    console.log(JSON.stringify(imported, null, 2));
    return;
  }
  const { parameters, tensors, evaluation } = imported;
  console.log(
    `${modelLabel(spec.model)}: ${formatCount(parameters)} parameters in ${formatCount(tensors)} tensors, all matching the model's`,
  );
  console.log(
    `test accuracy ${evaluation.accuracy.toFixed(2)} %, loss ${evaluation.loss.toFixed(4)} on ${formatCount(evaluation.samples)} images of ${spec.dataset}`,
  );
  if (target !== undefined) console.log(`written to ${target}`);
}
