/** Explains why an image file cannot be decoded, in more helpful words than the decoder's. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Bytes to inspect at either end. */
const ENDS = 512;
/** Kinds of files that often have an image's name, by their bytes (as Latin-1) at an offset. Sources: each format's specification. */
const KINDS: readonly (readonly [number, readonly string[], string])[] = [
  [8, ["WEBP"], "a WebP image"],
  [0, ["GIF87a", "GIF89a"], "a GIF image"],
  [0, ["BM"], "a BMP image"],
  [0, ["II*\0", "MM\0*"], "a TIFF image"],
  [4, ["ftypavif", "ftypavis"], "an AVIF image"],
  [4, ["ftyphei", "ftyphev", "ftypmif1", "ftypmsf1"], "a HEIC image"],
  [0, ["\xff\x0a", "\0\0\0\x0cJXL "], "a JPEG XL image"],
  [0, ["\0\0\0\x0cjP  ", "\xff\x4f\xff\x51"], "a JPEG 2000 image"],
  [0, ["version https://git-lfs"], "a pointer of git-lfs (`git lfs pull` fetches the file)"],
  [0, ["<!", "<html", "<HTML", "<?xml", "<svg"], "an HTML or XML page"],
  [0, ["\x1f\x8b"], "a gzip file"],
];

/** Null if nothing wrong is found, or the file cannot be read. */
export function imageDamage(path: string): string | null {
  try {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      if (size === 0) return "the file is empty";
      const bytesAt = (at: number) => {
        const bytes = Buffer.alloc(ENDS);
        return bytes.subarray(0, readSync(file, bytes, 0, ENDS, at)).toString("latin1");
      };
      return damageOf(bytesAt(0), bytesAt(Math.max(0, size - ENDS)));
    } finally {
      closeSync(file);
    }
  } catch {
    return null;
  }
}

function damageOf(start: string, end: string): string | null {
  const [, , kind] = KINDS.find(([at, heads]) => heads.some((head) => start.startsWith(head, at))) ?? [];
  if (kind !== undefined) return `it is ${kind}; only JPEG and PNG are supported`;
  // A PNG ends with the chunk IEND, a JPEG with the marker FF D9; something else may follow.
  if (start.startsWith("\x89PNG"))
    return end.includes("IEND") ? null : "the PNG is incomplete: its end is missing";
  if (start.startsWith("\xff\xd8"))
    return end.includes("\xff\xd9") ? null : "the JPEG is incomplete: its end is missing";
  return "it is not a JPEG or PNG file";
}
