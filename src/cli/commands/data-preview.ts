import { Command, Option } from "commander";
import { datasetHelp, isStreamed } from "../../data/dataset-forms.ts";
import { openGpu } from "../../host/node/open-gpu.ts";
import { drawSheet } from "../../report/sheet.ts";
import { previewTraining } from "../../run/preview.ts";
import { writeFileAtomically } from "../../storage/atomic-file.ts";
import { adapterOption, dataDirOption, wholeNumber } from "../options.ts";
import { loadOptions } from "../transfer-line.ts";

interface PreviewFlags {
  out?: string;
  count: number;
  seed: number;
  epoch: number;
  dataDir?: string;
  adapter?: string;
}

export function previewCommand(): Command {
  return new Command("preview")
    .description("draw training samples as the network sees them, augmented and labelled, on a PNG sheet")
    .argument("<dataset>", "data set, as for train --dataset")
    .addOption(new Option("--out <file>", "PNG file (default: preview-DATASET.png)"))
    .addOption(new Option("--count <images>", "images on the sheet").argParser(wholeNumber(1)).default(64))
    .addOption(new Option("--seed <number>", "seed of the run").argParser(wholeNumber(0)).default(123))
    .addOption(new Option("--epoch <number>", "epoch, counted from 0").argParser(wholeNumber(0)).default(0))
    .addOption(dataDirOption())
    .addOption(adapterOption())
    .addHelpText("after", `\nData sets:\n${datasetHelp()}`)
    .action(preview);
}

async function preview(name: string, flags: PreviewFlags): Promise<void> {
  isStreamed(name); // reports an unknown name before opening a GPU
  const gpu = await openGpu({ adapter: flags.adapter, relaunch: true });
  const { facts, images, labels } = await previewTraining(gpu, name, flags, loadOptions(flags));
  const sheet = await drawSheet(images, {
    ...facts,
    title: `${facts.name}: training samples, seed ${flags.seed}, epoch ${flags.epoch}`,
    labels: Array.from(labels, (label) => facts.classNames[label]),
  });
  const path = flags.out ?? `preview-${facts.name}.png`;
  await writeFileAtomically(path, [sheet]);
  console.log(`${labels.length} images of ${facts.name} in ${path}`);
  const { padding, flip } = facts.augmentation;
  const done = [
    ...(padding > 0 ? [`training images are shifted by up to ${padding} pixels`] : []),
    ...(flip ? [`half of the ${facts.name === "mnist" ? "digits" : "training images"} are mirrored`] : []),
  ];
  if (done.length > 0)
    console.log(
      `${done.join(" and ")}, as in the paper's released code; train --no-augmentation uses them unchanged${flip ? ", --no-mirroring does not mirror them" : ""}`,
    );
}
