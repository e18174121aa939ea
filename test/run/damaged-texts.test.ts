// Damaged texts from files and command lines give a result, or one of this project's errors on one line.
import { expect, test } from "vitest";
import { outlineDataset } from "../../src/data/dataset-forms.ts";
import { parseRecord } from "../../src/report/experiment-record.ts";
import { parseMetricLine } from "../../src/storage/read-run.ts";
import { GhostbatchError, messageOf } from "../../src/support/errors.ts";
import { visible } from "../../src/support/visible.ts";
import { record, series } from "../support/made-record.ts";
import { mutations } from "../support/mutations.ts";

const direction = {
  ...{ kind: "unit", range: 10, startLoss: 2, gradientNorm: 1, taylorSlope: 1, leavesTaylorAt: null },
  ...{ floor: 0, slope: 1, exponent: 1, bins: [{ distance: 1, deviation: 1, shift: 0, points: 9 }] },
};

/** For each reader: valid texts, and what a result must satisfy. */
const READERS: Readonly<Record<string, { texts: readonly string[]; read: (text: string) => void }>> = {
  records: {
    texts: [
      JSON.stringify(record("table1", [series("SB", ["a", "b"], { paper: 98.27 })])),
      JSON.stringify(record("figure4", [], [direction])),
    ],
    read: (text) => {
      const { id, series: entries } = parseRecord(text, "x.experiment.json");
      for (const name of [id, ...entries.flatMap(({ runs }) => runs)])
        expect(name).toMatch(/^[\w+=@,-][\w.+=@,-]*$/);
    },
  },
  "lines of metrics": {
    texts: ['{"kind":"train","step":12,"epoch":0.5,"loss":2.25,"accuracy":"NaN","distanceFirst":null}'],
    read: (text) => {
      const line = parseMetricLine(text);
      if (line === null) return;
      for (const value of Object.values(line.numbers)) expect(typeof value).toBe("number");
      expect(Number.isFinite(line.numbers["step"])).toBe(true);
    },
  },
  "names of data sets": {
    texts: [
      "synthetic:3x32x32:10:8192:2048",
      "folder:/a b/c,size=32x32,test=0.2,seed=3",
      "cifar100,labels=coarse",
      "imagenet,resize=256,crop=224",
    ],
    read: (text) => {
      const outline = outlineDataset(text);
      if (outline === null) return;
      const { classes, channels, height, width, trainCount } = outline;
      for (const size of [classes, channels, height, width, trainCount]) expect(size).toBeGreaterThan(0);
    },
  },
};

test.each(Object.entries(READERS))("8,000 %s", (_, { texts, read }) => {
  let [taken, refused] = [0, 0];
  for (const [seed, text] of texts.entries()) {
    const count = 8000 / texts.length;
    for (const bytes of mutations(new TextEncoder().encode(text), { count, seed })) {
      try {
        read(new TextDecoder().decode(bytes));
        taken++;
      } catch (error) {
        if (!(error instanceof GhostbatchError)) throw error;
        expect(messageOf(error)).toBe(visible(messageOf(error)).replaceAll("\n", " "));
        refused++;
      }
    }
  }
  expect(taken + refused).toBe(8000);
  expect(taken).toBeGreaterThan(100);
});
