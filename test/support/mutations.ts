import { boundedInteger, pcg4d, STREAMS } from "../../src/support/random.ts";

const EXTREMES = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

/** `count` damaged copies of a file: bytes changed, words made extreme, parts cut out, repeated or appended. */
export function* mutations(
  original: Uint8Array,
  { count, seed }: { count: number; seed: number },
): Generator<Uint8Array> {
  for (let i = 0; i < count; i++) {
    let draw = 0;
    const below = (bound: number) => boundedInteger(pcg4d(seed, STREAMS.noise, i, draw++)[0], bound);
    let bytes: Uint8Array = original.slice();
    for (let edits = 1 + below(4); edits > 0; edits--) {
      const at = below(bytes.length + 1);
      // Headers are at the start: most of the damage goes there.
      const early = below(3) > 0 ? below(Math.min(bytes.length, 200) + 1) : at;
      switch (below(6)) {
        case 0:
          bytes[early] = below(256);
          break;
        case 1:
          bytes[early] = EXTREMES[below(EXTREMES.length)];
          break;
        case 2:
          bytes.fill(EXTREMES[below(EXTREMES.length)], early, early + 1 + below(8));
          break;
        case 3:
          bytes = bytes.slice(0, at);
          break;
        case 4:
          bytes = joined(bytes.subarray(0, early), bytes.subarray(early + 1 + below(16)));
          break;
        default:
          bytes = joined(bytes.subarray(0, at), bytes.subarray(Math.max(0, at - below(32))));
      }
    }
    yield bytes;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
