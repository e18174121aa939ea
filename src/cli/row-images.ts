/** The images of a row of the paper's tables, for a verb that trains the row, plans it, or writes a script for other machines. */
import { Option } from "commander";
import type { Row } from "../paper/columns.ts";
import { type Images, imagesFor } from "../paper/images.ts";
import type { Scale } from "../paper/scale.ts";
import { DataError } from "../support/errors.ts";
import type { EmitFlags } from "./emit-slurm.ts";
import type { RequestFlags } from "./request.ts";

export interface ImageFlags extends RequestFlags, EmitFlags {
  images?: string;
  scale: Scale;
}

export const imagesOption = () =>
  new Option(
    "--images <data set>",
    "images to use instead of the row's own: a data set as for train, e.g. folder:PATH (default: what --data-dir contains)",
  );

/**
 * The images of a row. A machine that only plans or writes a script need not see them: the plan is then for the row's own
 * data set, and each task looks for the images that --data-dir or --images names when it starts.
 * @param otherwise what the user can do instead of getting images
 * @throws DataError for a script if no folder or data set is named and this machine sees none
 */
export function rowImages(row: Row, flags: ImageFlags, otherwise?: string): Images {
  const { scale, dataDir, images, emit, dryRun } = flags;
  const asked = row.scales.full.base.dataset;
  // A dry run of the paper's setting shows the paper's data set, whatever the data folder contains.
  if (dryRun && scale !== "small" && images === undefined)
    return { dataset: asked, note: null, missing: null, planned: asked };
  const found = imagesFor(row, { scale, dataDir, images, otherwise });
  const isNamed = dataDir !== undefined || (images !== undefined && found.dataset !== "imagenet");
  if (emit === undefined || found.missing === null || isNamed) return found;
  throw new DataError(
    `${found.missing}; if only the compute nodes see the images, name their folder there with --data-dir`,
  );
}

/** What a plan or script assumes about images that this machine does not see, one line for each row. */
export function unseenNotes(
  rows: readonly { readonly row: Row; readonly images: Images }[],
  { emit, dryRun }: Pick<ImageFlags, "emit" | "dryRun">,
): string[] {
  const later = emit === undefined ? "" : "; each task looks for them when it starts";
  return rows
    .filter(({ images }) => (emit !== undefined || dryRun) && images.missing !== null)
    .map(
      ({ row, images: { dataset, planned } }) =>
        `note: ${row.network}: this machine does not see the images of ${dataset}: ` +
        `the plan is for ${planned === dataset ? "the whole data set" : `those of ${planned}`}${later}`,
    );
}
