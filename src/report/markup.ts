import { visible } from "../support/visible.ts";

/** Escapes text for Markdown: one line, without markup. */
export function escapeMarkdown(text: string): string {
  return visible(text.replaceAll(/\s+/g, " "))
    .replaceAll(/[\\`*<>~]|\](?=[([:])/g, "\\$&")
    .replaceAll(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, "\\_")
    .replaceAll(/&(?=#|\w+;)/g, "\\&");
}

/** Text as inline code in Markdown. */
export function codeSpan(text: string): string {
  return `\`${visible(text.replaceAll(/\s+/g, " ")).replaceAll("`", "'")}\``;
}

/** Escapes text for elements and attributes of HTML and SVG. */
export function escapeMarkup(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
