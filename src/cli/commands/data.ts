import { Command, InvalidArgumentError, Option } from "commander";
import { CIFAR_LAYOUTS, type CifarLayout } from "../../data/cifar-layout.ts";
import { datasetHelp } from "../../data/dataset-forms.ts";
import { type CifarDescription, DEFAULT_DATA_DIRECTORY, describeCifar } from "../../datasets/cifar.ts";
import { fetchCifar } from "../../datasets/fetch-cifar.ts";
import { describeMnist } from "../../datasets/mnist.ts";
import { formatBytes, formatCount, formatPercent } from "../../support/format.ts";
import { dataDirOption, jsonOption } from "../options.ts";
import { TransferLine } from "../transfer-line.ts";
import { previewCommand } from "./data-preview.ts";

export function dataCommand(): Command {
  return new Command("data")
    .description("fetch and check data sets, and show what the network sees")
    .addCommand(mnistCommand())
    .addCommand(cifarCommand(CIFAR_LAYOUTS.cifar10))
    .addCommand(cifarCommand(CIFAR_LAYOUTS.cifar100))
    .addCommand(previewCommand())
    .addHelpText("after", `\nData sets, as train --dataset and data preview take them:\n${datasetHelp()}`);
}

function mnistCommand(): Command {
  return new Command("mnist")
    .description("show MNIST's files, checksums and class counts")
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .action(({ dataDir, json }: { dataDir?: string; json?: boolean }) => {
      const description = describeMnist({ dataDir });
      if (!description.files.every(({ matches }) => matches)) process.exitCode = 2;
      print(`MNIST from ${description.source}`, description, json);
    });
}

interface CifarFlags {
  dataDir: string;
  from?: string;
  sha256?: string;
  json?: boolean;
}

function cifarCommand(layout: CifarLayout): Command {
  const { variant, title, folder, archive } = layout;
  return new Command(variant)
    .description(`fetch ${title}'s binary files if they are missing, and check them`)
    .addOption(dataDirOption().default(DEFAULT_DATA_DIRECTORY))
    .addOption(
      new Option("--from <source>", `folder, archive or address to take them from (default: ${archive.url})`),
    )
    .addOption(
      new Option(
        "--sha256 <checksum>",
        "checksum of an unofficial archive, or none to skip the check",
      ).argParser(checksum),
    )
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `\nThe files go to ${folder} in the data folder. An interrupted download continues where it stopped.`,
    )
    .action((flags: CifarFlags) => fetchAndDescribe(layout, flags));
}

async function fetchAndDescribe(layout: CifarLayout, { json, ...options }: CifarFlags): Promise<void> {
  const line = new TransferLine();
  try {
    await fetchCifar(layout, {
      ...options,
      onProgress: ({ bytes, total }) => {
        const part = total === null ? "" : ` of ${formatBytes(total)} (${formatPercent(bytes / total, 0)})`;
        line.show(`fetching ${layout.title}: ${formatBytes(bytes)}${part}`);
      },
    });
  } finally {
    line.end();
  }
  const description = describeCifar(layout, options);
  if (options.sha256 !== "none" && !description.files.every(({ matches }) => matches)) {
    process.exitCode = 2;
    console.error(
      `warning: files differ from the official ones; --from ${layout.archive.url} fetches them again, --sha256 none accepts them`,
    );
  }
  print(`${layout.title} in ${description.folder}`, description, json);
}

function print(title: string, description: Omit<CifarDescription, "folder">, json?: boolean): void {
  if (json) {
    console.log(JSON.stringify(description, null, 2));
    return;
  }
  console.log(title);
  for (const { path, bytes, sha256, matches } of description.files) {
    console.log(`${matches ? "ok     " : "differs"} ${sha256} ${formatBytes(bytes).padStart(9)}  ${path}`);
  }
  for (const part of ["train", "test"] as const) {
    const { count, classCounts } = description[part];
    const classes = `per class 0 to ${classCounts.length - 1}`;
    console.log(
      `${part}: ${formatCount(count)} images; ${classes}: ${classCounts.map(formatCount).join(" ")}`,
    );
  }
}

function checksum(text: string): string {
  if (text === "none" || /^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError("Expected 64 hexadecimal digits, or none.");
}
