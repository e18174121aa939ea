import { expect, test } from "vitest";
import { closest, suggestion } from "../../src/support/closest.ts";

const NAMES = ["mnist", "cifar10", "cifar100", "folder", "imagenet", "synthetic"];

test.each([
  ["mnits", "mnist"],
  ["CIFAR10", "cifar10"],
  ["cifar-10", "cifar10"],
  ["cifar-100", "cifar100"],
  ["imgnet", "imagenet"],
  ["syntetic", "synthetic"],
  ["svhn", null],
  ["", null],
])("%s is closest to %s", (word, expected) => {
  expect(closest(word, NAMES)).toBe(expected);
});

test("a suggestion names the closest, and all", () => {
  expect(suggestion("mnits", NAMES)).toBe(`did you mean mnist? Expected one of ${NAMES.join(", ")}`);
  expect(suggestion("svhn", NAMES)).toBe(`Expected one of ${NAMES.join(", ")}`);
});
