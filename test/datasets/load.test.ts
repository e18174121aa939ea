import { expect, test } from "vitest";
import { DATASET_MEANINGS, datasetHelp, isStreamed, outlineDataset } from "../../src/data/dataset-forms.ts";
import { parseDatasetName } from "../../src/data/dataset-name.ts";
import { loadDataset, openDataset } from "../../src/datasets/load.ts";
import { UsageError } from "../../src/support/errors.ts";
import { pngBytes, writeFiles } from "../support/image-files.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

test.each([
  ["mnist", "mnist", null, {}],
  [
    "cifar100,labels=coarse,normalization=per-channel",
    "cifar100",
    null,
    { labels: "coarse", normalization: "per-channel" },
  ],
  ["folder:/a/b c,size=32", "folder", "/a/b c", { size: "32" }],
  ["folder:C:\\photos,test=0.2,seed=3", "folder", "C:\\photos", { test: "0.2", seed: "3" }],
  ["folder:a,b/c", "folder", "a,b/c", {}],
  ["synthetic:3x32x32:10:100:50", "synthetic", "3x32x32:10:100:50", {}],
])("%s", (text, name, argument, options) => {
  const parsed = parseDatasetName(text);
  expect({ ...parsed, options: Object.fromEntries(parsed.options) }).toEqual({
    text,
    name,
    argument,
    options,
  });
});

test.each([
  ["cifra10", /unknown name "cifra10": did you mean cifar10\? Expected one of mnist, cifar10, /],
  ["svhn", /unknown name "svhn": Expected one of mnist, /],
  ["", /unknown name ""/],
  ["constructor", /unknown name "constructor"/],
  ["cifar10,labels=coarse", /unknown option labels: Expected one of normalization/],
  ["cifar100,lables=coarse", /unknown option lables: did you mean labels\?/],
  [
    "cifar100,labels=corse",
    /labels=corse: unknown value: did you mean coarse\? Expected one of fine, coarse/,
  ],
  ["mnist,size=3", /mnist takes no options, found size/],
  ["mnist:data", /write mnist without a colon/],
  ["cifar10,x", /expected cifar10,OPTION=VALUE, found ",x"/],
  ["folder", /write it as folder:PATH/],
  ["folder:", /write it as folder:PATH/],
  ["folder:x,size=0", /size: expected pixels, N or HEIGHTxWIDTH, got "0"/],
  ["folder:x,size=32x", /size: expected pixels/],
  ["folder:x,test=1", /test: expected a fraction between 0 and 1, got "1"/],
  ["folder:x,seed=-1", /seed: expected a whole number of at least 0/],
  ["folder:x,seed=1,seed=2", /option seed is given twice/],
  ["synthetic:3x32:10", /expected synthetic:CxHxW:CLASSES/],
  ["synthetic:3x32x32:10:5", /expected synthetic:CxHxW:CLASSES/],
  ["synthetic:0x4x4:2", /channels: expected a whole number of at least 1, got 0/],
  ["synthetic:1x4x4:70000", /classes: expected at most 65536/],
  ["imagenet", /is streamed/],
])("%j is refused with the reason", async (text, message) => {
  await expect(loadDataset(text)).rejects.toThrow(UsageError);
  await expect(loadDataset(text)).rejects.toThrow(message);
});

test("synthetic data of any shape", async () => {
  const data = await loadDataset("synthetic:3x5x7:4:30:20");
  expect([data.channels, data.height, data.width, data.classes, data.train.count, data.test.count]).toEqual([
    3, 5, 7, 4, 30, 20,
  ]);
  expect(data.train.images).toHaveLength(30 * 105);
  const { train, test, classes } = await loadDataset("synthetic");
  expect([train.count, test.count, train.images.length / train.count, classes]).toEqual([
    8192, 2048, 784, 10,
  ]);
});

test("the outline of a data set needs no files", () => {
  const facts = (text: string) => {
    const { name, channels, height, width, classes, classNames, trainCount, testCount } =
      outlineDataset(text)!;
    expect(classNames).toHaveLength(classes);
    return [name, channels, height, width, classes, trainCount, testCount];
  };
  expect(facts("mnist")).toEqual(["mnist", 1, 28, 28, 10, 60_000, 10_000]);
  expect(facts("cifar10")).toEqual(["cifar10", 3, 32, 32, 10, 50_000, 10_000]);
  expect(facts("cifar100,labels=coarse")).toEqual(["cifar100-coarse", 3, 32, 32, 20, 50_000, 10_000]);
  expect(facts("imagenet")).toEqual(["imagenet", 3, 224, 224, 1000, 1_281_167, 50_000]);
  expect(facts("synthetic:3x224x224:1000:64:32")).toEqual(["synthetic", 3, 224, 224, 1000, 64, 32]);
  expect(outlineDataset("folder:/nowhere")).toBeNull();
});

test("a folder's options reach it, and a streamed data set opens", async () => {
  const root = temporaryFolder();
  const image = pngBytes(6, 4, (x) => [x, 0, 0]);
  writeFiles(
    root,
    Object.fromEntries(["a/1.png", "a/2.png", "b/1.png", "b/2.png"].map((name) => [name, image])),
  );
  const load = (text: string) => loadDataset(text, { cacheDirectory: temporaryFolder() });
  const data = await load(`folder:${root},size=2x3,test=0.5`);
  expect([data.height, data.width, data.train.count, data.test.count]).toEqual([2, 3, 2, 2]);
  await expect(load(`folder:${root}`)).rejects.toThrow(UsageError);

  writeFiles(root, { "train/a/1.png": image, "val/a/1.png": image });
  expect(isStreamed("imagenet,crop=4")).toBe(true);
  expect(isStreamed("cifar10")).toBe(false);
  const streamed = openDataset("imagenet,resize=4,crop=3", { dataDir: root });
  expect([streamed.height, streamed.train.count]).toEqual([3, 1]);
  expect(() => openDataset("imagenet", {})).toThrow(/name the folder .*--data-dir/);
  expect(() => openDataset("mnist")).toThrow(/kept in memory, not streamed/);
});

test("the help names every data set and every option", () => {
  for (const form of Object.keys(DATASET_MEANINGS)) expect(datasetHelp()).toContain(`  ${form}  `);
  for (const option of ["size", "test", "seed", "labels", "normalization", "resize", "crop"]) {
    expect(datasetHelp()).toContain(`,${option}=…`);
  }
});
