/** Control characters except tab and line feed, line separators, and marks that change the direction of text. */
const CONTROLS = /(?![\t\n])[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/** Escapes text for a terminal or a page: characters that would control it are written out, e.g. as \x1b. */
export function visible(text: string): string {
  return text.replaceAll(CONTROLS, (character) => {
    const code = character.charCodeAt(0);
    return code < 256
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}
