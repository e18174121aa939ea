import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { openDecoder } from "../../src/datasets/decode.ts";
import { DataError } from "../../src/support/errors.ts";
import { flat, folderOf, GOOD, load, paint, png } from "../support/class-folder.ts";
import { pngBytes } from "../support/image-files.ts";

async function refused(run: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await run.then(
    () => null,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(DataError);
  expect((error as Error).message).toMatch(message);
  expect((error as Error).message).not.toMatch(/\n/);
}

test("images become planes of bytes with the labels of their folders", async () => {
  const root = folderOf({ ...GOOD, "train/b/2.png": pngBytes(8, 8, flat(7)) });
  const data = await load(root);
  expect([data.train.count, data.test.count, data.channels, data.height, data.width]).toEqual([
    3, 1, 3, 8, 8,
  ]);
  expect([...data.train.labels]).toEqual([0, 1, 1]);
  expect(data.classNames).toEqual(["a", "b"]);
  expect(data.name).toMatch(/^folder-[\w.-]+$/);
  const image = data.train.images.subarray(192, 2 * 192);
  for (const [x, y] of [
    [0, 0],
    [7, 0],
    [0, 7],
    [3, 5],
  ] as const) {
    const at = 8 * y + x;
    expect([image[at], image[64 + at], image[128 + at]]).toEqual(paint(x, y));
  }
  expect(new Set(data.train.images.subarray(2 * 192))).toEqual(new Set([7]));
  expect(data.augmentation).toEqual({ padding: 1, padValue: 127, flip: true });
  expect(data.normalization.mean).toEqual([0.485, 0.456, 0.406]);
  const own = await load(root, { normalization: "per-channel" });
  expect(own.normalization.mean[0]).toBeCloseTo((35 + 35 + 7) / 3 / 255, 10);
});

describe("every color mode becomes 8-bit RGB", () => {
  const grey = { width: 8, height: 8, channels: 3 as const, background: { r: 100, g: 100, b: 100 } };
  const colour = { width: 8, height: 8, channels: 3 as const, background: { r: 200, g: 100, b: 50 } };
  const modes: [string, () => Promise<Buffer>, [number, number, number], number][] = [
    ["grey JPEG", () => sharp({ create: grey }).toColourspace("b-w").jpeg().toBuffer(), [100, 100, 100], 1],
    ["grey PNG", () => sharp({ create: grey }).toColourspace("b-w").png().toBuffer(), [100, 100, 100], 0],
    [
      "PNG with a palette",
      () => sharp({ create: colour }).png({ palette: true }).toBuffer(),
      [200, 100, 50],
      0,
    ],
    ["PNG with alpha", () => sharp({ create: colour }).ensureAlpha(0.25).png().toBuffer(), [200, 100, 50], 0],
    [
      "16-bit PNG",
      () => sharp({ create: colour }).toColourspace("rgb16").png().toBuffer(),
      [200, 100, 50],
      0,
    ],
    [
      "16-bit grey PNG",
      () => sharp({ create: grey }).toColourspace("grey16").png().toBuffer(),
      [100, 100, 100],
      0,
    ],
    // Through an ink profile and back, which does not have all colors.
    [
      "CMYK JPEG",
      () => sharp({ create: colour }).toColourspace("cmyk").jpeg({ quality: 100 }).toBuffer(),
      [200, 100, 50],
      40,
    ],
    [
      "progressive JPEG",
      () => sharp({ create: colour }).jpeg({ progressive: true, quality: 100 }).toBuffer(),
      [200, 100, 50],
      2,
    ],
  ];
  test.each(modes)("%s", async (name, make, expected, tolerance) => {
    const file = await make();
    const kind = await sharp(file).metadata();
    // The file must have the mode under test.
    if (/16/.test(name)) expect(kind.depth).toBe("ushort");
    if (/alpha/.test(name)) expect(kind.hasAlpha).toBe(true);
    if (/CMYK/.test(name)) expect(kind.space).toBe("cmyk");
    if (/^grey|16-bit grey/.test(name)) expect(name === "grey JPEG" || kind.channels === 1).toBe(true);
    const { train } = await load(folderOf({ ...GOOD, "train/a/1.png": file }));
    const pixel = [0, 64, 128].map((plane) => train.images[plane + 27]!);
    for (const c of [0, 1, 2]) expect(Math.abs(pixel[c]! - expected[c]!)).toBeLessThanOrEqual(tolerance);
  });
});

describe("sizes", () => {
  test("other sizes are scaled to cover the requested size, and the center is kept", async () => {
    // White with black ends: scaled by 1/2 and cut to the middle square, it is all white.
    const wide = pngBytes(64, 16, (x) => (x < 16 || x >= 48 ? [0, 0, 0] : [255, 255, 255]));
    const { train, height, width } = await load(folderOf({ ...GOOD, "train/b/1.png": wide }), {
      size: { height: 8, width: 8 },
    });
    expect([height, width]).toEqual([8, 8]);
    expect([...train.images.subarray(192, 192 + 64)].every((byte) => byte > 250)).toBe(true);
    // An image of the right size stays as it is.
    expect(train.images[7]).toBe(70);
    const oblong = await load(folderOf(GOOD), { size: { height: 4, width: 6 } });
    expect([oblong.height, oblong.width, oblong.train.images.length]).toEqual([4, 6, 2 * 3 * 24]);
  });

  test("without a requested size, an image that differs is named", async () => {
    const root = folderOf({ ...GOOD, "train/b/1.png": pngBytes(8, 9, paint) });
    await refused(
      load(root),
      /train\/b\/1\.png: has 9 × 8 pixels \(height × width\), but .*a\/1\.png has 8 × 8: .*size=8/,
    );
  });

  test("too many bytes for memory is an error before they are allocated", async () => {
    await refused(
      load(folderOf(GOOD), { size: { height: 30_000, width: 30_000 } }),
      /3 images of 30000 × 30000 need 7\.\d+ GiB, .*imagenet --data-dir/,
    );
  });
});

describe("a file that is not an image is named", () => {
  let jpeg: Buffer;
  beforeAll(async () => {
    jpeg = await sharp({
      create: {
        width: 64,
        height: 64,
        channels: 3,
        background: "red",
        noise: { type: "gaussian", mean: 128, sigma: 40 },
      },
    })
      .jpeg()
      .toBuffer();
  });
  test.each([
    ["text", () => Buffer.from("not an image at all")],
    ["an empty file", () => Buffer.alloc(0)],
    ["half a JPEG", () => jpeg.subarray(0, jpeg.length / 2)],
    ["a PNG without its end", () => png.subarray(0, png.length - 30)],
    ["an image of another format", () => sharp(jpeg).webp().toBuffer()],
  ])("%s", async (_, make) => {
    const root = folderOf({ ...GOOD, "train/b/0.jpg": await make() });
    await refused(
      load(root, { size: { height: 8, width: 8 } }),
      /train\/b\/0\.jpg: cannot be decoded as an image: /,
    );
  });
});

test("opening a decoder does not disturb one that is decoding", async () => {
  const image = join(folderOf(GOOD), "train/a/1.png");
  const decode = await openDecoder();
  const expected = await decode(image, null);
  const images: ReturnType<typeof decode>[] = [];
  for (let i = 0; i < 500; i++) {
    images.push(decode(image, null));
    await openDecoder();
    // Lets the decoding threads work between two openings.
    await setImmediate();
  }
  for (const decoded of await Promise.all(images)) expect(decoded.bytes).toEqual(expected.bytes);
});

test("progress is reported to the end", async () => {
  const seen: number[] = [];
  await load(folderOf(GOOD), { onProgress: ({ done, total }) => seen.push(done / total) });
  expect(seen.at(-1)).toBe(1);
  expect(seen).toHaveLength(3);
});

test("the message for a file that is not a complete JPEG or PNG says what it is", async () => {
  const bytes = (text: string) => Uint8Array.from(Buffer.from(text, "latin1"));
  const base = sharp({ create: { width: 8, height: 8, channels: 3, background: "#c86432" } });
  const jpeg = await base.clone().jpeg().toBuffer();
  for (const [content, reason] of [
    [png.subarray(0, png.length - 20), /the PNG is incomplete/],
    [jpeg.subarray(0, jpeg.length / 2), /the JPEG is incomplete/],
    [await base.clone().webp().toBuffer(), /it is a WebP image/],
    [await base.clone().gif().toBuffer(), /it is a GIF image/],
    [await base.clone().tiff().toBuffer(), /it is a TIFF image/],
    [await base.clone().avif().toBuffer(), /it is an AVIF image/],
    [bytes(""), /the file is empty/],
    [bytes("<html>404</html>"), /an HTML or XML page/],
    [bytes("version https://git-lfs.github.com/spec/v1\n"), /git-lfs/],
    [bytes("anything else"), /is not a JPEG or PNG file/],
  ] as const)
    await refused(load(folderOf({ ...GOOD, "train/a/1.png": content })), reason);
});

test("skipped images give one warning per split", async () => {
  const warnings: string[] = [];
  const jpeg = await sharp(Buffer.from(png)).jpeg().toBuffer();
  const others = {
    "train/a/2.webp": "",
    "train/a/more/3.png": png,
    "test/a/4.gif": "",
    "train/a/5.jfif": jpeg,
  };
  const data = await load(folderOf({ ...GOOD, ...others }), { onWarning: (text) => warnings.push(text) });
  expect(data.train.count).toBe(3);
  expect(warnings).toEqual([
    expect.stringMatching(/train: 2 images are skipped/),
    expect.stringMatching(/test: 1 images are skipped/),
  ]);
});
