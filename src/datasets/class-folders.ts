/**
 * Folders of images, one folder per class:
 *
 *   PATH/train/CLASS/*.jpg  and  PATH/test/CLASS/*.jpg      (val instead of test: the first of the two that is there)
 *   PATH/CLASS/*.jpg                                        with a fraction of each class taken for the test split
 *
 * Classes are numbered in the order of their names, samples in the order of classes and file names.
 */
import { type Dirent, lstatSync, readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { fileError } from "../storage/file-error.ts";
import { DataError, UsageError } from "../support/errors.ts";
import { permutation, STREAMS } from "../support/random.ts";

/** Image files and their classes, without the images. */
export interface ImageFiles {
  /** The folder that `names` are relative to. */
  readonly root: string;
  /** "train/cat/0001.jpg" */
  readonly names: readonly string[];
  /** [names.length], each a position in the list of classes. */
  readonly labels: Uint16Array;
}

export interface ClassFolders {
  readonly classNames: readonly string[];
  readonly train: ImageFiles;
  readonly test: ImageFiles;
}

export interface ClassFolderOptions {
  /** Fraction of each class's images to use as the test split if the folder has none; null rejects such a folder. */
  readonly testFraction?: number | null;
  /** Seed of the choice of these images. Default 0. */
  readonly seed?: number;
  /** Called once for each split in which images are skipped. */
  readonly onWarning?: ((text: string) => void) | undefined;
}

/** Usual names of JPEG and PNG files. */
const IMAGE = /\.(jpe?g|jpe|jfif|jif|pjpeg|pjp|png|apng)$/i;
/** Names of image files of unsupported kinds. */
const OTHER_IMAGE =
  /\.(webp|gif|bmp|dib|tiff?|heic|heif|avif|jxl|jp2|j2k|jpx|pp?m|pgm|pbm|pnm|svgz?|ico|tga|exr|hdr|psd|dng|cr2|nef)$/i;
/** The most file names in a warning. */
const SHOWN = 3;
const EVALUATION_FOLDERS = ["test", "val"] as const;

/**
 * Lists the images of a folder; none is opened.
 * @throws DataError naming the folder that is missing, has no images, or has a class that the training images lack;
 *   UsageError when the test split is given twice or not at all
 */
export function listClassFolders(root: string, options: ClassFolderOptions = {}): ClassFolders {
  const { testFraction = null } = options;
  const folders = foldersIn(root, root);
  const evaluation = EVALUATION_FOLDERS.find((name) => folders.includes(name));
  if (!folders.includes("train")) {
    if (evaluation !== undefined) {
      throw new DataError(`${join(root, "train")}: no such folder, but ${join(root, evaluation)} exists`);
    }
    return divide(root, listSplit(root, null, folders, options), options);
  }
  const train = listSplit(root, "train", foldersIn(root, join(root, "train")), options);
  if (evaluation === undefined) return divide(root, train, options);
  if (testFraction !== null) {
    throw new UsageError(
      `${root}: has a ${evaluation} folder, so the option test=${testFraction} has no effect: omit it`,
    );
  }
  const classes = foldersIn(root, join(root, evaluation));
  // Depending on the file system, a name has composed or decomposed accents: both are the same class.
  const numberOf = new Map(train.classNames.map((name, label) => [name.normalize(), label]));
  const unknown = classes.find((name) => !numberOf.has(name.normalize()));
  if (unknown !== undefined) {
    throw new DataError(
      `${join(root, evaluation, unknown)}: this class exists only in ${evaluation}; expected a folder ${join(root, "train", unknown)} too`,
    );
  }
  const test = listSplit(root, evaluation, classes, options);
  // Classes are numbered as in the training split, which may have more.
  const numbers = test.classNames.map((name) => numberOf.get(name.normalize())!);
  return {
    classNames: train.classNames,
    train: train.files,
    test: { ...test.files, labels: test.files.labels.map((label) => numbers[label]) },
  };
}

interface ListedSplit {
  readonly classNames: readonly string[];
  readonly files: ImageFiles;
}

function listSplit(
  root: string,
  part: string | null,
  classNames: readonly string[],
  { onWarning }: ClassFolderOptions,
): ListedSplit {
  const folder = part === null ? root : join(root, part);
  if (classNames.length === 0) {
    throw new DataError(`${folder}: expected a folder for each class, found ${describeFiles(folder)}`);
  }
  if (classNames.length > 2 ** 16) {
    throw new DataError(`${folder}: ${classNames.length} classes, but at most 65536 are supported`);
  }
  requireDistinct(folder, classNames);
  const names: string[] = [];
  const labels: number[] = [];
  const leftOut = imagesIn(folder, { deep: false });
  for (const [label, className] of classNames.entries()) {
    const before = names.length;
    const own = join(folder, className);
    const images = entries(own).filter((entry) => IMAGE.test(entry.name) && !entry.isDirectory());
    leftOut.push(...imagesIn(own, { deep: true, but: IMAGE }));
    for (const name of images.map((entry) => entry.name).sort()) {
      names.push(part === null ? `${className}/${name}` : `${part}/${className}/${name}`);
      labels.push(label);
    }
    if (names.length === before) {
      throw new DataError(
        `${own}: a class folder without images: expected .jpg, .jpeg or .png files, found ${describeFiles(own)}`,
      );
    }
  }
  if (leftOut.length > 0) {
    const shown = leftOut.slice(0, SHOWN).map((path) => relative(root, path));
    onWarning?.(
      `${folder}: ${leftOut.length} images are skipped, because their names are not those of JPEG or PNG files or they are not directly in a class folder: ${shown.join(", ")}${leftOut.length > SHOWN ? ", …" : ""}`,
    );
  }
  return { classNames, files: { root, names, labels: Uint16Array.from(labels) } };
}

/** Moves a fraction of each class, at least one image but not all, to the test split. */
function divide(
  root: string,
  { classNames, files }: ListedSplit,
  { testFraction = null, seed = 0 }: ClassFolderOptions,
): ClassFolders {
  if (testFraction === null) {
    throw new UsageError(
      `${root}: no test or val folder; set the fraction of images for testing, e.g. folder:${root},test=0.2`,
    );
  }
  const isTest = new Uint8Array(files.names.length);
  for (let start = 0; start < files.names.length; ) {
    const label = files.labels[start];
    let count = 1;
    while (files.labels[start + count] === label) count++;
    if (count < 2) {
      throw new DataError(
        `${join(root, files.names[start])}: the only image of its class; it cannot be used for both training and testing`,
      );
    }
    const taken = Math.min(Math.max(Math.round(count * testFraction), 1), count - 1);
    // Permutations 0 and 1 of this stream choose subsets (subset.ts).
    const order = permutation(count, { seed, stream: STREAMS.subset, epoch: 2 + label });
    for (const position of order.subarray(0, taken)) isTest[start + position] = 1;
    start += count;
  }
  return { classNames, train: select(files, isTest, 0), test: select(files, isTest, 1) };
}

function select({ root, names, labels }: ImageFiles, group: Uint8Array, wanted: number): ImageFiles {
  return {
    root,
    names: names.filter((_, i) => group[i] === wanted),
    labels: labels.filter((_, i) => group[i] === wanted),
  };
}

/** Images that belong to no class: those directly in a folder, except `but`; with `deep`, also all in its sub-folders. */
function imagesIn(folder: string, { deep, but }: { deep: boolean; but?: RegExp }): string[] {
  return entries(folder).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return deep ? imagesIn(path, { deep }) : [];
    const isImage = IMAGE.test(entry.name) || OTHER_IMAGE.test(entry.name);
    return isImage && !but?.test(entry.name) ? [path] : [];
  });
}

function requireDistinct(folder: string, classNames: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const name of classNames) {
    const same = seen.get(name.normalize());
    if (same !== undefined)
      throw new DataError(
        `${folder}: two classes are called ${name}: the names differ only in the encoding of accents (Unicode NFC and NFD); put their images in one folder`,
      );
    seen.set(name.normalize(), name);
  }
}

/** Names of the folders in a folder, sorted; hidden ones are skipped. */
function foldersIn(root: string, folder: string): string[] {
  try {
    return entries(folder)
      .filter((entry) => isFolder(entry, folder))
      .map(({ name }) => name)
      .sort();
  } catch (cause) {
    throw fileError(cause, folder === root ? "read the folder of images" : "read", folder);
  }
}

function entries(folder: string): Dirent[] {
  try {
    const found = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !name.startsWith("."));
    // A name that is not UTF-8 is read with U+FFFD, and the file cannot be found by it.
    for (const { name } of found)
      if (name.includes("\ufffd") && !lstatSync(join(folder, name), { throwIfNoEntry: false }))
        throw new DataError(`${join(folder, name)}: the name is not UTF-8; rename the file`);
    return found;
  } catch (cause) {
    throw fileError(cause, "read the folder", folder);
  }
}

function isFolder(entry: Dirent, folder: string): boolean {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return statSync(join(folder, entry.name), { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function describeFiles(folder: string): string {
  const names = entries(folder).map(({ name }) => name);
  if (names.length === 0) return "nothing";
  return `${names.slice(0, 3).join(", ")}${names.length > 3 ? ` and ${names.length - 3} more` : ""}`;
}
