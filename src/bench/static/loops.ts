/** The loops of a compiled kernel: natural loops of its control-flow graph. */
import { type Counts, countInstructions, type Instruction } from "./instructions.ts";

export interface Block {
  readonly instructions: readonly Instruction[];
  /** Indices of the blocks that may follow. */
  readonly next: readonly number[];
}

export interface Loop {
  readonly blocks: ReadonlySet<number>;
  /** One iteration, with inner loops counted once. */
  readonly counts: Counts;
}

/**
 * All loops, found by back edges to a dominating block. Source: Aho, Lam, Sethi, Ullman, "Compilers", 9.6; dominators by Cooper, Harvey,
 * Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
 */
export function loopsOf(blocks: readonly Block[]): Loop[] {
  const before = blocks.map((): number[] => []);
  for (const [place, { next }] of blocks.entries()) for (const to of next) before[to]!.push(place);
  const order = reversePostorder(blocks);
  const dominates = dominators(order, before);
  const bodies = new Map<number, Set<number>>();
  for (const place of order) {
    for (const head of blocks[place]!.next) {
      if (!dominates(head, place)) continue;
      const body = bodies.get(head) ?? new Set([head]);
      bodies.set(head, body);
      const open = [place];
      for (let one = open.pop(); one !== undefined; one = open.pop()) {
        if (body.has(one)) continue;
        body.add(one);
        open.push(...before[one]!);
      }
    }
  }
  return [...bodies.values()].map((body) => ({
    blocks: body,
    counts: countInstructions([...body].flatMap((place) => blocks[place]!.instructions)),
  }));
}

/** Whether `inner` lies within `outer`. */
export function within(inner: Loop, outer: Loop): boolean {
  return inner.blocks.size < outer.blocks.size && [...inner.blocks].every((block) => outer.blocks.has(block));
}

/** The reachable blocks, each before its successors except along back edges. */
function reversePostorder(blocks: readonly Block[]): number[] {
  const done: number[] = [];
  const seen = new Set<number>();
  const path = blocks.length > 0 ? [{ place: 0, at: 0 }] : [];
  seen.add(0);
  while (path.length > 0) {
    const top = path.at(-1)!;
    const to = blocks[top.place]!.next[top.at++];
    if (to === undefined) {
      done.push(top.place);
      path.pop();
    } else if (!seen.has(to)) {
      seen.add(to);
      path.push({ place: to, at: 0 });
    }
  }
  return done.reverse();
}

function dominators(order: readonly number[], before: readonly (readonly number[])[]) {
  const rank = new Map(order.map((place, index) => [place, index]));
  const parent = new Map([[0, 0]]);
  const meet = (a: number, b: number) => {
    let [x, y] = [a, b];
    while (x !== y) {
      while (rank.get(x)! > rank.get(y)!) x = parent.get(x)!;
      while (rank.get(y)! > rank.get(x)!) y = parent.get(y)!;
    }
    return x;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const place of order.slice(1)) {
      const known = before[place]!.filter((one) => parent.has(one));
      const found = known.slice(1).reduce(meet, known[0]!);
      if (parent.get(place) === found) continue;
      parent.set(place, found);
      changed = true;
    }
  }
  return (head: number, place: number): boolean => {
    for (let one = place; one !== head; one = parent.get(one)!) if (one === 0) return false;
    return true;
  };
}
