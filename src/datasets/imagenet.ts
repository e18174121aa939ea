/** ImageNet (Russakovsky et al. 2015): 1.28 million photographs of 1,000 classes, streamed from folders of JPEG files. */

import { availableParallelism } from "node:os";
import { IMAGENET_GEOMETRY, imagenetFacts, type StreamGeometry } from "../data/imagenet-layout.ts";
import type { StreamedDataset } from "../data/streamed.ts";
import { env } from "../support/env.ts";
import { UsageError } from "../support/errors.ts";
import type { MessageSink } from "../support/messages.ts";
import { listClassFolders } from "./class-folders.ts";
import { streamedSplit } from "./streamed-files.ts";

/**
 * Lists a folder with train/CLASS/ and val/CLASS/ (or test/CLASS/). Any number of classes works, so parts of ImageNet
 * and other large sets of photographs are read the same way.
 * @param onWarning is called if images will be decoded on fewer threads than there are cores
 * @throws UsageError without a folder; DataError as `listClassFolders`
 */
export function openImagenet(
  dataDir: string | undefined,
  geometry: StreamGeometry = IMAGENET_GEOMETRY,
  onWarning?: MessageSink,
): StreamedDataset {
  if (dataDir === undefined) {
    throw new UsageError(
      "imagenet: name the folder that contains train/CLASS/ and val/CLASS/ with --data-dir",
    );
  }
  const { classNames, train, test } = listClassFolders(dataDir, { onWarning });
  const cores = availableParallelism();
  const threads = Number(env.decodeThreads() ?? 4); // libuv's default; it reads the variable before this program runs
  if (threads < cores) {
    onWarning?.(
      `images are decoded on ${threads} of ${cores} cores: set UV_THREADPOOL_SIZE=${cores} before starting`,
    );
  }
  const { trainCount: _, testCount: __, ...facts } = imagenetFacts(geometry);
  return {
    ...facts,
    classes: classNames.length,
    classNames,
    train: streamedSplit(train, geometry),
    test: streamedSplit(test, geometry),
  };
}
