// Letters of 5 × 7 pixels, drawn for this project, for labels in pictures: a picture looks the same on a machine without
// fonts.

export const GLYPH_WIDTH = 5;
export const GLYPH_HEIGHT = 7;
/** From one letter to the next. */
export const GLYPH_ADVANCE = GLYPH_WIDTH + 1;

/** Seven rows a letter, top first, each row a digit in base 32 whose bits are its pixels, the leftmost the highest. */
const GLYPHS: Readonly<Record<string, string>> = {
  ...rows("ABCDEFGHIJ", "ehhvhhh uhhuhhu ehggghe uhhhhhu vgguggv vgguggg ehgnhhe hhhvhhh e44444e 72222ic"),
  ...rows("KLMNOPQRST", "hikokih ggggggv hrllhhh hpljhhh ehhhhhe uhhuggg ehhhlid uhhukih fgge11u v444444"),
  ...rows("UVWXYZ", "hhhhhhe hhhhha4 hhhllrh hha4ahh hha4444 v1248gv"),
  ...rows("abcdefghij", "00e1fhf gguhhhu 00egghe 11fhhhf 00ehvge 698s888 00fhf1e ggmphhh 40c444e 20622ic"),
  ...rows("klmnopqrst", "ggikoki c44444e 00qllhh 00mphhh 00ehhhe 00uhugg 00fhf11 00mpggg 00fge1u 88s8896"),
  ...rows("uvwxyz", "00hhhjd 00hhha4 00hhlla 00ha4ah 00hhf1e 00v248v"),
  ...rows("0123456789", "ehjlphe 4c4444e eh1248v v2421he 26aiv22 vgu11he 68guhhe v124888 ehhehhe ehhf12c"),
  ...rows(" -_.,:'()/", "0000000 000e000 000000v 00000cc 0000c48 0cc0cc0 c480000 2488842 8422248 01248g0"),
  ...rows("&+#=%", "cik8lid 044v440 aavavaa 00v0v00 op248j3"),
};

/** For what has no letter here: a box. */
const UNKNOWN = "vhhhhhv";

/** Calls `set` for every pixel of a text whose top left corner is at (0, 0). */
export function drawText(text: string, set: (x: number, y: number) => void): void {
  for (const [position, letter] of [...text].entries()) {
    const glyph = GLYPHS[letter] ?? UNKNOWN;
    for (let y = 0; y < GLYPH_HEIGHT; y++) {
      const row = Number.parseInt(glyph[y], 32);
      for (let x = 0; x < GLYPH_WIDTH; x++) {
        if ((row >> (GLYPH_WIDTH - 1 - x)) & 1) set(position * GLYPH_ADVANCE + x, y);
      }
    }
  }
}

function rows(letters: string, glyphs: string): Record<string, string> {
  const words = glyphs.split(" ");
  return Object.fromEntries([...letters].map((letter, i) => [letter, words[i]]));
}
