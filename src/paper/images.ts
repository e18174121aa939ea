/** Chooses the images for a row of a table from those in the data folder. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CIFAR_LAYOUTS, type CifarVariant } from "../data/cifar-layout.ts";
import { DEFAULT_DATA_DIRECTORY, findCifarFolder } from "../datasets/cifar.ts";
import { DataError } from "../support/errors.ts";
import type { Row } from "./columns.ts";
import { type Scale, settingsOf } from "./scale.ts";

export interface Images {
  /** The images, as named in specifications. */
  readonly dataset: string;
  /** Note for the caption; null for the paper's data set. */
  readonly note: string | null;
}

export interface ImageChoice {
  readonly scale: Scale;
  /** The folder of --data-dir. */
  readonly dataDir: string | undefined;
  /** What the user can do instead of getting images, e.g. "omit the row with --rows". */
  readonly otherwise?: string | undefined;
}

/**
 * The row's own data set if its files exist, else a folder of class folders; at small scale CIFAR-10 can replace
 * CIFAR-100.
 * @throws DataError saying what to do if there are no images for the row
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
      `${row.network}: no images in ${folder}; name ImageNet's folder, with train/CLASS/ and val/CLASS/, with --data-dir${instead}`,
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
    `${row.network}: no images in ${folder}; fetch them with \`ghostbatch data ${asked}\`, or name a folder of ` +
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
