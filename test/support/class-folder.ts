/** Small folders of images in classes, for tests of their loading. */
import { type ImageFolderOptions, loadImageFolder } from "../../src/datasets/image-folder.ts";
import { type Paint, pngBytes, writeFiles } from "./image-files.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** No two pixels have the same color. */
export const paint: Paint = (x, y) => [10 * x, 10 * y, 100 + x + y];
export const flat =
  (value: number): Paint =>
  () => [value, value, value];

export const png = pngBytes(8, 8, paint);
/** A valid folder, in which a test can make one file wrong. */
export const GOOD = { "train/a/1.png": png, "train/b/1.png": png, "test/a/1.png": png };

export const folderOf = (files: Record<string, Uint8Array | string>) => writeFiles(temporaryFolder(), files);

/** Loads with a new cache unless one is given. */
export function load(root: string, options: ImageFolderOptions = {}) {
  return loadImageFolder(root, { cacheDirectory: temporaryFolder(), ...options });
}
