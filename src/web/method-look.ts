/** How the methods look in charts and forms: a color and a dash each, so that they differ without colors too. */
import type { Column } from "../paper/columns.ts";

/** Variables of style.css. */
export const METHOD_COLORS: Readonly<Record<Column, string>> = {
  SB: "--sb",
  LB: "--lb",
  LR: "--lr",
  GBN: "--gbn",
  RA: "--ra",
};

/** Pixels of line and gap; none for a whole line. */
export const METHOD_DASHES: Readonly<Record<Column, readonly number[]>> = {
  SB: [],
  LB: [8, 4],
  LR: [2, 3],
  GBN: [8, 3, 2, 3],
  RA: [12, 3],
};

export const METHOD_NAMES: Readonly<Record<Column, string>> = {
  SB: "small batch",
  LB: "large batch",
  LR: "and a higher learning rate",
  GBN: "and ghost batch norm",
  RA: "and as many steps as SB",
};
