/** Chooses the images for a row of a table from those in the data folder. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CIFAR_LAYOUTS, type CifarVariant } from "../data/cifar-layout.ts";
import { formOf, outlineDataset } from "../data/dataset-forms.ts";
import { DEFAULT_DATA_DIRECTORY, findCifarFolder } from "../datasets/cifar.ts";
import { DataError, UsageError } from "../support/errors.ts";
import type { Row } from "./columns.ts";
import { type Scale, settingsOf } from "./scale.ts";

export interface Images {
  /** The images, as named in specifications. */
  readonly dataset: string;
  /** Note for the caption; null for the paper's data set. */
  readonly note: string | null;
  /** Why this machine cannot read them, and what to do; null if it can. */
  readonly missing: string | null;
  /** The data set whose size and shape a plan assumes: these images, or, if only their files tell, the row's own data set. */
  readonly planned: string;
}

export interface ImageChoice {
  readonly scale: Scale;
  /** The folder of --data-dir. */
  readonly dataDir: string | undefined;
  /** The data set of --images, to use in place of the row's own. */
  readonly images?: string | undefined;
  /** What the user can do instead of getting images, e.g. "omit the row with --rows". */
  readonly otherwise?: string | undefined;
}

/**
 * The images that the user names; else the row's own data set if its files exist, else a folder of class folders. At small
 * scale CIFAR-10 can replace CIFAR-100. If nothing is found, the row's own data set, with the reason in `missing`.
 * @throws UsageError for an unknown data set, or one named for MNIST's row
 */
export function imagesFor(row: Row, choice: ImageChoice): Images {
  const { scale, dataDir, images } = choice;
  const asked = row.scales.full.base.dataset;
  if (row.scales[settingsOf(scale).base].base.dataset === "mnist") {
    if (images === undefined) return here("mnist", null);
    throw new UsageError(`--images ${images}: ${row.network} is trained on MNIST; omit the option`);
  }
  if (images !== undefined) return namedImages(images, row, choice);
  const folder = dataDir ?? DEFAULT_DATA_DIRECTORY;
  if (asked === "imagenet") {
    if (isHere(asked, dataDir)) return here(asked, scale === "small" ? `on images of ${folder}` : null);
    return absent(asked, row, choice, imagenetReason(dataDir));
  }
  const variants: CifarVariant[] =
    scale === "small" && asked === "cifar100" ? ["cifar100", "cifar10"] : [asked as CifarVariant];
  for (const variant of variants) {
    if (isHere(variant, folder))
      return here(variant, variant === asked ? null : `on CIFAR-10 in place of ${row.dataset}`);
  }
  if (existsSync(join(folder, "train")) && ["test", "val"].some((part) => existsSync(join(folder, part))))
    return here(`folder:${folder}`, `on the images of ${folder} in place of ${row.dataset}'s own files`);
  return absent(asked, row, choice, cifarReason(asked, folder));
}

/** As `imagesFor`. @throws DataError also if this machine cannot read the images */
export function readableImages(row: Row, choice: ImageChoice): Images {
  const images = imagesFor(row, choice);
  if (images.missing !== null) throw new DataError(images.missing);
  return images;
}

function namedImages(dataset: string, row: Row, choice: ImageChoice): Images {
  const note = dataset === row.scales.full.base.dataset ? null : `on ${dataset} in place of ${row.dataset}`;
  if (isHere(dataset, choice.dataDir)) return here(dataset, note);
  const { key, name } = formOf(dataset);
  const folder = choice.dataDir ?? DEFAULT_DATA_DIRECTORY;
  const reason =
    key === "folder"
      ? `no such folder: ${name.argument}; name a folder of images with --images folder:PATH`
      : key === "imagenet"
        ? imagenetReason(choice.dataDir)
        : cifarReason(key, folder);
  return { ...absent(dataset, row, choice, reason), note };
}

function here(dataset: string, note: string | null): Images {
  return { dataset, note, missing: null, planned: dataset };
}

function absent(dataset: string, row: Row, { otherwise }: ImageChoice, reason: string): Images {
  const instead = otherwise === undefined ? "" : `, or ${otherwise}`;
  return {
    dataset,
    note: null,
    missing: `${row.network}: ${reason}${instead}`,
    planned: outlineDataset(dataset) === null ? row.scales.full.base.dataset : dataset,
  };
}

function imagenetReason(dataDir: string | undefined): string {
  const where = dataDir === undefined ? "ImageNet has no default folder" : `no images in ${dataDir}`;
  return `${where}; name ImageNet's folder, with train/CLASS/ and val/CLASS/, with --data-dir`;
}

function cifarReason(dataset: string, folder: string): string {
  return (
    `no images in ${folder}; fetch them with \`ghostbatch data ${dataset}\`, or name a folder of ` +
    "train/CLASS/*.jpg and test/CLASS/*.jpg with --data-dir"
  );
}

/** Whether the files of a data set are on this machine. */
function isHere(dataset: string, dataDir: string | undefined): boolean {
  const { key, name } = formOf(dataset);
  if (key === "folder") return name.argument !== null && existsSync(name.argument);
  if (key === "imagenet") return dataDir !== undefined && existsSync(join(dataDir, "train"));
  return (key !== "cifar10" && key !== "cifar100") || hasCifar(key, dataDir ?? DEFAULT_DATA_DIRECTORY);
}

function hasCifar(variant: CifarVariant, folder: string): boolean {
  try {
    findCifarFolder(CIFAR_LAYOUTS[variant], folder);
    return true;
  } catch {
    return false;
  }
}
