// Setup of all tests: typed arrays with the same bytes are equal without further comparison. vitest compares value by value, which
// takes a microsecond or more for each; it still does so if bytes differ, and shows the values.
import { expect } from "vitest";

expect.addEqualityTesters([
  (a: unknown, b: unknown) => {
    if (!isTypedArray(a) || !isTypedArray(b)) return undefined;
    if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return undefined;
    return Buffer.compare(bytes(a), bytes(b)) === 0 ? true : undefined;
  },
]);

function isTypedArray(value: unknown): value is NodeJS.TypedArray {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function bytes({ buffer, byteOffset, byteLength }: NodeJS.TypedArray): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
