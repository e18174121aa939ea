import { describe, expect, test } from "vitest";
import { boundedInteger, pcg4d, permutation, STREAMS, uniform01 } from "../../src/support/random.ts";

const MASK = 0xffffffffn;

/** The published listing in exact integers. */
function pcg4dExact(words: readonly number[]): number[] {
  let v = words.map((word) => (BigInt(word) * 1664525n + 1013904223n) & MASK);
  const mix = () => {
    for (const [to, a, b] of [
      [0, 1, 3],
      [1, 2, 0],
      [2, 0, 1],
      [3, 1, 2],
    ]) {
      v[to] = (v[to] + v[a] * v[b]) & MASK;
    }
  };
  mix();
  v = v.map((word) => word ^ (word >> 16n));
  mix();
  return v.map(Number);
}

test("every use has its own stream, below 256", () => {
  const values = Object.values(STREAMS);
  expect(new Set(values).size).toBe(values.length);
  for (const value of values) expect(value).toBeLessThan(256);
});

describe("pcg4d", () => {
  test("equals the published listing in exact integers", () => {
    let words: readonly number[] = [0, 0, 0, 0];
    for (let i = 0; i < 2000; i++) {
      const next = pcg4d(words[0], words[1], words[2], words[3]);
      expect(next).toEqual(pcg4dExact(words));
      words = i % 2 === 0 ? next : [i, 0xffffffff, next[2], 0x80000000 + i];
    }
  });

  test("keeps the numbers that existing seeds give", () => {
    expect(pcg4d(0, 0, 0, 0)).toEqual([251_852_841, 760_645_481, 850_445_371, 3_542_436_074]);
    expect(pcg4d(123, STREAMS.shuffle, 7, 59_999)).toEqual([
      3_672_441_068, 631_605_302, 368_482_237, 2_768_542_637,
    ]);
  });

  test("every byte of its words is uniformly distributed", () => {
    const counts = Array.from({ length: 16 }, () => new Array<number>(256).fill(0));
    const draws = 65_536;
    for (let i = 0; i < draws; i++) {
      for (const [w, word] of pcg4d(1, STREAMS.noise, 0, i).entries()) {
        for (let byte = 0; byte < 4; byte++) counts[4 * w + byte][(word >>> (8 * byte)) & 255]++;
      }
    }
    for (const column of counts) {
      const expected = draws / 256;
      const chiSquared = column.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      // 255 degrees of freedom: mean 255, standard deviation 22.6; six of them on either side.
      expect(Math.abs(chiSquared - 255)).toBeLessThan(136);
    }
  });
});

test("uniform01 covers [0, 1) in steps that float32 represents", () => {
  expect(uniform01(0)).toBe(0);
  expect(uniform01(0xffffffff)).toBe(1 - 2 ** -24);
  expect(uniform01(0xffffffff)).toBe(Math.fround(uniform01(0xffffffff)));
  expect(uniform01(0x80000000)).toBe(0.5);
});

test("boundedInteger reaches both ends and is exact at the largest bound", () => {
  expect(boundedInteger(0, 7)).toBe(0);
  expect(boundedInteger(0xffffffff, 7)).toBe(6);
  for (const bound of [1, 3, 60_000, 2 ** 21]) {
    for (const word of [1, 0x7fffffff, 0x80000000, 0xfffffffe]) {
      expect(boundedInteger(word, bound)).toBe(Number((BigInt(word) * BigInt(bound)) >> 32n));
    }
  }
});

describe("permutation", () => {
  const key = { seed: 123, stream: STREAMS.shuffle, epoch: 0 };

  test("contains every number once, and is the same only for the same key", () => {
    const order = permutation(60_000, key);
    expect(new Set(order).size).toBe(60_000);
    expect(Math.max(...order.subarray(0, 100))).toBeLessThan(60_000);
    expect(permutation(60_000, key)).toEqual(order);
    for (const other of [{ seed: 124 }, { stream: STREAMS.subset }, { epoch: 1 }]) {
      const changed = permutation(60_000, { ...key, ...other });
      const fixed = changed.reduce((count, value, i) => count + (value === order[i] ? 1 : 0), 0);
      expect(fixed).toBeLessThan(12); // one on average
    }
    expect([...permutation(1, key)]).toEqual([0]);
    expect(permutation(0, key)).toHaveLength(0);
  });

  test("gives all orders of four with the same probability", () => {
    const counts = new Map<string, number>();
    const draws = 24_000;
    for (let epoch = 0; epoch < draws; epoch++) {
      const order = permutation(4, { ...key, epoch }).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    // 1,000 each; five standard deviations.
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(155);
  });
});
