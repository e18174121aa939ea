import { visible } from "../support/visible.ts";

/** Text as it stands in Markdown: one line, of which no character is markup. */
export function escapeMarkdown(text: string): string {
  return visible(text.replaceAll(/\s+/g, " "))
    .replaceAll(/[\\`*<>~]|\](?=[([:])/g, "\\$&")
    .replaceAll(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, "\\_")
    .replaceAll(/&(?=#|\w+;)/g, "\\&");
}

/** Text as code in a line of Markdown. */
export function codeSpan(text: string): string {
  return `\`${visible(text.replaceAll(/\s+/g, " ")).replaceAll("`", "'")}\``;
}

/** Text as it stands between tags and in attributes of HTML and SVG. */
export function escapeMarkup(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
