import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { listClassFolders } from "../../src/datasets/class-folders.ts";
import { DataError, UsageError } from "../../src/support/errors.ts";
import { writeFiles } from "../support/image-files.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

// Nothing is decoded here: empty files stand for images.
const folderOf = (...names: string[]) =>
  writeFiles(temporaryFolder(), Object.fromEntries(names.map((name) => [name, ""])));

function refused(run: () => unknown, kind: typeof DataError | typeof UsageError, message: RegExp): void {
  expect(run).toThrow(kind);
  expect(run).toThrow(message);
}

describe("train and test folders", () => {
  test("classes and files are sorted by name, and other files are ignored", () => {
    const root = folderOf(
      ...["train/dog/2.jpg", "train/dog/10.JPEG", "train/cat/b.PNG", "train/cat/a.jpg", "train/emu/x.png"],
      ...[
        "val/dog/z.jpg",
        "val/cat/q.jpeg",
        "train/cat/notes.txt",
        "train/.DS_Store",
        "train/dog/.hidden.jpg",
        "README",
      ],
    );
    const { classNames, train, test } = listClassFolders(root);
    expect(classNames).toEqual(["cat", "dog", "emu"]);
    expect(train.names).toEqual([
      "train/cat/a.jpg",
      "train/cat/b.PNG",
      "train/dog/10.JPEG",
      "train/dog/2.jpg",
      "train/emu/x.png",
    ]);
    expect([...train.labels]).toEqual([0, 0, 1, 1, 2]);
    expect(test.names).toEqual(["val/cat/q.jpeg", "val/dog/z.jpg"]);
    expect([...test.labels]).toEqual([0, 1]);
  });

  test("a test split without some classes uses the training split's class numbers", () => {
    const { test } = listClassFolders(
      folderOf("train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg", "test/c/1.jpg", "test/b/1.jpg"),
    );
    expect([...test.labels]).toEqual([1, 2]);
  });

  test("a test folder has priority over val, and a linked folder counts as a folder", () => {
    const root = folderOf("train/a/1.jpg", "test/a/t.jpg", "val/a/v.jpg", "elsewhere/b/1.jpg");
    expect(listClassFolders(root).test.names).toEqual(["test/a/t.jpg"]);
    symlinkSync(join(root, "elsewhere", "b"), join(root, "train", "b"));
    expect(listClassFolders(root).classNames).toEqual(["a", "b"]);
  });

  test.each([
    [
      "a class that only the test split has",
      ["train/a/1.jpg", "val/a/1.jpg", "val/zebra/1.jpg"],
      /val\/zebra: this class exists only in val; expected a folder .*train\/zebra/,
    ],
    [
      "an empty class folder",
      ["train/a/1.jpg", "train/b/.keep", "test/a/1.jpg"],
      /train\/b: a class folder without images: .*found nothing/,
    ],
    [
      "an empty class folder of the test split",
      ["train/a/1.jpg", "test/a/.keep"],
      /test\/a: a class folder without images/,
    ],
    [
      "a class folder with other files",
      ["train/a/1.webp", "train/a/2.bmp", "test/a/1.jpg"],
      /train\/a: .*expected \.jpg, \.jpeg or \.png files, found 1\.webp, 2\.bmp/,
    ],
    [
      "images without class folders",
      ["train/a/1.jpg", "val/0001.JPEG", "val/0002.JPEG"],
      /val: expected a folder for each class, found 0001\.JPEG, 0002\.JPEG/,
    ],
    ["no train folder", ["val/a/1.jpg"], /train: no such folder, but .*val exists/],
  ])("%s", (_, names, message) => {
    refused(() => listClassFolders(folderOf(...names)), DataError, message);
  });

  test("a missing folder, and a file in its place", () => {
    refused(
      () => listClassFolders("/nonexistent/images"),
      DataError,
      /\/nonexistent\/images: cannot read.*no such file or folder/,
    );
    refused(() => listClassFolders(join(folderOf("x"), "x")), DataError, /x: cannot read.*is a file/);
  });
});

describe("class folders alone", () => {
  const names = ["a", "b"].flatMap((name) => Array.from({ length: 10 }, (_, i) => `${name}/${i}.jpg`));

  test("need the option test=…", () => {
    refused(
      () => listClassFolders(folderOf(...names)),
      UsageError,
      /no test or val folder; set .*folder:.*,test=0\.2/,
    );
    refused(
      () => listClassFolders(folderOf("train/a/1.jpg", "train/a/2.jpg")),
      UsageError,
      /no test or val folder/,
    );
    refused(
      () => listClassFolders(folderOf("train/a/1.jpg", "val/a/1.jpg"), { testFraction: 0.5 }),
      UsageError,
      /has a val folder, so the option test=0\.5 has no effect/,
    );
  });

  test("are divided class by class, depending only on the seed", () => {
    const root = folderOf(...names);
    const { train, test } = listClassFolders(root, { testFraction: 0.3 });
    expect([...train.names, ...test.names].sort()).toEqual([...names].sort());
    expect([...test.labels]).toEqual([0, 0, 0, 1, 1, 1]);
    expect(test.names.every((name, i) => name.startsWith("ab"[test.labels[i]!]!))).toBe(true);
    expect(listClassFolders(root, { testFraction: 0.3 }).test.names).toEqual(test.names);
    expect(listClassFolders(root, { testFraction: 0.3, seed: 1 }).test.names).not.toEqual(test.names);
    // Both classes have ten images. The same numbers from each would show that one permutation serves all classes.
    const numbers = test.names.map((name) => name.slice(2));
    expect(numbers.slice(0, 3)).not.toEqual(numbers.slice(3));
  });

  test("keep at least one image of each class on either side; a class with only one is an error", () => {
    const few = listClassFolders(folderOf("a/1.jpg", "a/2.jpg"), { testFraction: 0.001 });
    expect([few.train.names.length, few.test.names.length]).toEqual([1, 1]);
    const most = listClassFolders(folderOf("a/1.jpg", "a/2.jpg"), { testFraction: 0.999 });
    expect([most.train.names.length, most.test.names.length]).toEqual([1, 1]);
    refused(
      () => listClassFolders(folderOf("a/1.jpg", "a/2.jpg", "b/only.png"), { testFraction: 0.5 }),
      DataError,
      /b\/only\.png: the only image of its class/,
    );
  });
});

describe("skipped files and unusual names", () => {
  test("JPEG and PNG files with any of their extensions are used; other images are counted once per split", () => {
    const root = folderOf(
      ...[
        "train/a/1.png",
        "train/a/2.JPG",
        "train/a/3.jfif",
        "train/a/4.jpe",
        "train/b/1.png",
        "test/a/1.png",
      ],
      ...[
        "train/a/5.webp",
        "train/a/6.BMP",
        "train/b/7.tif",
        "train/a/more/8.png",
        "train/a/more/deep/9.gif",
        "train/10.jpg",
      ],
      ...["train/a/notes.txt", "train/a/more/notes.txt", "train/a/.hidden.webp"],
    );
    const warnings: string[] = [];
    const { train } = listClassFolders(root, { onWarning: (text) => warnings.push(text) });
    expect(train.names).toHaveLength(5);
    expect(warnings).toEqual([
      expect.stringMatching(/^.*train: 6 images are skipped, .*: train\/10\.jpg, .*, …$/),
    ]);
  });

  test("a class name matches in any encoding of its accents; two in one split that differ only in that are refused", () => {
    const [composed, decomposed] = ["caf\u00e9", "cafe\u0301"];
    const root = folderOf("train/b/1.png", `train/${composed}/1.png`, `test/${decomposed}/1.png`);
    const { classNames, test: split } = listClassFolders(root);
    expect(classNames[split.labels[0]!]).toBe(composed);
    refused(
      () =>
        listClassFolders(folderOf(`train/${composed}/1.png`, `train/${decomposed}/1.png`, "test/b/1.png")),
      DataError,
      /differ only in the encoding of accents/,
    );
  });

  test.each(["a file", "a class"])("%s whose name is not UTF-8 is refused with the reason", (what) => {
    const root = folderOf("train/a/1.png", "test/a/1.png");
    const latin1 = Buffer.from([0x63, 0x61, 0x66, 0xe9]);
    const place = Buffer.from(`${join(root, "train")}/${what === "a file" ? "a/" : ""}`);
    const path = Buffer.concat([place, latin1, Buffer.from(what === "a file" ? ".png" : "")]);
    if (what === "a file") writeFileSync(path, "");
    else mkdirSync(path);
    refused(() => listClassFolders(root), DataError, /caf.*: the name is not UTF-8; rename/);
  });
});
