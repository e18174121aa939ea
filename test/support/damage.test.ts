// Faults of files are told in this project's words, whichever library found them.
import { expect, test } from "vitest";
import { z } from "zod";
import { parseRecord } from "../../src/report/experiment-record.ts";
import { describeFault, parseJson } from "../../src/support/damage.ts";
import { messageOf } from "../../src/support/errors.ts";
import { record, series } from "./made-record.ts";
import { mutations } from "./mutations.ts";

const Schema = z.strictObject({
  name: z.string().min(1),
  rate: z.number().positive(),
  sizes: z.array(z.int().min(2)).min(1),
  kind: z.enum(["a", "b"]).optional(),
});

test.each([
  [{ name: 3, rate: 1, sizes: [2] }, "name: expected text, found 3"],
  [{ name: "", rate: 1, sizes: [2] }, 'name: expected at least 1 characters, found ""'],
  [{ name: "x", sizes: [2] }, "rate: missing"],
  [{ name: "x", rate: Number.NaN, sizes: [2] }, "rate: expected a number, found NaN"],
  [{ name: "x", rate: 0, sizes: [2] }, "rate: expected more than 0, found 0"],
  [{ name: "x", rate: 1, sizes: [2, 1] }, "sizes.1: expected at least 2, found 1"],
  [{ name: "x", rate: 1, sizes: [2.5] }, "sizes.0: expected a whole number, found 2.5"],
  [{ name: "x", rate: 1, sizes: [] }, "sizes: expected at least 1 entries, found []"],
  [{ name: "x", rate: 1, sizes: "x".repeat(100) }, `sizes: expected a list, found "${"x".repeat(59)}…`],
  [{ name: "x", rate: 1, sizes: [2], kind: "c" }, 'kind: expected "a" or "b", found "c"'],
  [{ name: "x", rate: 1, sizes: [2], more: 1 }, "unknown: more"],
  [null, "expected named values, found null"],
])("%j: %s", (value, text) => {
  expect(describeFault(Schema.safeParse(value).error!.issues, value)).toBe(text);
});

test.each([
  ["", "an empty file"],
  ['{"a": 1,\n\n"b": x}\n', "other text"],
  ['{"a": [1, 2', "an incomplete text"],
])("JSON %j", (text, found) => {
  expect(() => parseJson(text, "x.json", "; try again")).toThrow(
    new RegExp(`^x\\.json: damaged: expected JSON, found ${found}.*; try again$`),
  );
});

test("no damage of a record makes a library speak", () => {
  const text = JSON.stringify(record("table1", [series("SB", ["a", "b"], { paper: 98.27 })]));
  let refused = 0;
  for (const bytes of mutations(new TextEncoder().encode(text), { count: 2000, seed: 1 })) {
    try {
      parseRecord(new TextDecoder().decode(bytes), "x");
    } catch (error) {
      refused++;
      expect(messageOf(error)).not.toMatch(/Invalid|Unexpected|Unrecognized|Too |not valid JSON|token/);
    }
  }
  expect(refused).toBeGreaterThan(500);
});
