/** Which images a row of a table is run on, given what there is in the data folder. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CIFAR_LAYOUTS, type CifarVariant } from "../data/cifar-layout.ts";
import { DEFAULT_DATA_DIRECTORY, findCifarFolder } from "../datasets/cifar.ts";
import { DataError } from "../support/errors.ts";
import type { Row } from "./columns.ts";
import { type Scale, settingsOf } from "./scale.ts";

export interface Images {
  /** As a run's specification names them. */
  readonly dataset: string;
  /** For the caption; null for the data set of the paper. */
  readonly note: string | null;
}

export interface ImageChoice {
  readonly scale: Scale;
  /** Of --data-dir. */
  readonly dataDir: string | undefined;
  /** What the caller's user can do instead of getting images, e.g. "omit the row with --rows". */
  readonly otherwise?: string | undefined;
}

/**
 * The row's own data set where its files are, else a folder of class folders; at small scale a CIFAR-100 row makes do with
 * CIFAR-10.
 * @throws DataError saying what to do where there are no images for the row
 */
export function imagesFor(row: Row, { scale, dataDir, otherwise }: ImageChoice): Images {
  const instead = otherwise === undefined ? "" : `, or ${otherwise}`;
  const own = row.scales[settingsOf(scale).base].base.dataset;
  const asked = row.scales.full.base.dataset;
  if (own === "mnist") return { dataset: own, note: null };
  const folder = dataDir ?? DEFAULT_DATA_DIRECTORY;
  if (asked === "imagenet") {
    if (existsSync(join(folder, "train"))) {
      return { dataset: "imagenet", note: scale === "small" ? `on images of ${folder}` : null };
    }
    throw new DataError(
      `${row.network}: no images in ${folder}: name ImageNet's folder, with train/CLASS/ and val/CLASS/, with --data-dir${instead}`,
    );
  }
  const variants: CifarVariant[] =
    scale === "small" && asked === "cifar100" ? ["cifar100", "cifar10"] : [asked as CifarVariant];
  for (const variant of variants) {
    if (!hasCifar(variant, folder)) continue;
    return { dataset: variant, note: variant === asked ? null : `on CIFAR-10 in place of ${row.dataset}` };
  }
  if (existsSync(join(folder, "train")) && ["test", "val"].some((part) => existsSync(join(folder, part)))) {
    return {
      dataset: `folder:${folder}`,
      note: `on the images of ${folder} in place of ${row.dataset}'s own files`,
    };
  }
  throw new DataError(
    `${row.network}: no images in ${folder}: fetch them with \`ghostbatch data ${asked}\`, or name a folder of ` +
      `train/CLASS/*.jpg and test/CLASS/*.jpg with --data-dir${instead}`,
  );
}

function hasCifar(variant: CifarVariant, folder: string): boolean {
  try {
    findCifarFolder(CIFAR_LAYOUTS[variant], folder);
    return true;
  } catch {
    return false;
  }
}
