/** What Mesa's RADV prints about a pipeline with RADV_DEBUG=cs,asm,shaderstats: the assembly, then a list of statistics. */
import type { Instruction } from "./instructions.ts";
import type { Compiled } from "./listing.ts";
import type { Block } from "./loops.ts";

export function readAmdListing(text: string): Compiled | null {
  const [, assembly, list] = text.match(/^disasm:\n(.*?)^\*\*\* SHADER STATS \*\*\*\n(.*?)^\*{10}/ms) ?? [];
  if (assembly === undefined || list === undefined) return null;
  const statistics = new Map([...list.matchAll(/^(.*?): (\d+)$/gm)].map(([, name, x]) => [name, Number(x)]));
  const value = (name: string) => statistics.get(name) ?? 0;
  return {
    registers: value("VGPRs"),
    waves: value("Subgroups per SIMD"),
    scratchBytes: value("Scratch size"),
    spills: value("Spilled VGPRs"),
    sharedBytes: value("LDS size"),
    codeBytes: value("Code size"),
    blocks: blocksOf(assembly),
  };
}

/** A block begins at a label or after a branch. */
function blocksOf(assembly: string): Block[] {
  const blocks: { instructions: Instruction[]; next: number[]; branch: string | null; ends: boolean }[] = [];
  const labels = new Map<string, number>();
  const begin = () => {
    const block = { instructions: [] as Instruction[], next: [] as number[], branch: null, ends: false };
    return blocks[blocks.push(block) - 1]!;
  };
  let block = begin();
  for (const line of assembly.split("\n")) {
    const label = line.match(/^(BB\d+):/)?.[1];
    if (label !== undefined) {
      if (block.instructions.length > 0) block = begin();
      labels.set(label, blocks.length - 1);
      continue;
    }
    const instruction = readInstruction(line);
    if (!instruction) continue;
    if (block.branch !== null || block.ends) block = begin();
    block.instructions.push(instruction);
    block.branch = line.match(/s_c?branch\w*\s+(BB\d+)/)?.[1] ?? null;
    block.ends = /\bs_(branch|endpgm)\b/.test(line);
  }
  for (const [place, one] of blocks.entries()) {
    if (!one.ends && place + 1 < blocks.length) one.next.push(place + 1);
    const to = one.branch === null ? undefined : placeOf(one.branch, labels);
    if (to !== undefined) one.next.push(to);
  }
  return blocks;
}

/** The block of a label. An empty block has no label: it is where the next one begins. */
function placeOf(label: string, labels: ReadonlyMap<string, number>): number | undefined {
  const number = Number(label.slice(2));
  const numbers = [...labels.keys()].map((name) => Number(name.slice(2))).sort((a, b) => a - b);
  return labels.get(`BB${numbers.find((one) => one >= number)}`);
}

/** Bits per lane by the ending of an instruction's name: "b128", or "dwordx4" before RDNA 3. */
function bitsOf(name: string): number {
  const [, bits] = name.match(/_[bui](\d+)$/) ?? [];
  if (bits !== undefined) return Number(bits) * (/2addr|read2|write2/.test(name) ? 2 : 1);
  const [, words] = name.match(/dword(?:x(\d))?$/) ?? [];
  return 32 * Number(words ?? 1);
}

function readInstruction(line: string): Instruction | null {
  const code = line.replace(/;.*/, "").trim();
  const [name = ""] = code.split(/\s/, 1);
  if (!/^(s|v|ds|buffer|global|scratch|flat)_/.test(name)) return null;
  const plain = name.replace(/_e(32|64)(_dpp)?$|_(dpp|sdwa)$/, "");
  if (/^v_(dual_)?(pk_)?(fma|ma[cd]_f)/.test(plain)) {
    return { kind: "multiply-add", weight: Math.max(1, code.match(/\bv_dual_fma/g)?.length ?? 0) };
  }
  if (/^v_s?wmmac?_/.test(plain)) return { kind: "matrix multiply-add" };
  if (/^v_(mul_lo|mul_hi|mad_[iu]64|mad_co_u64)/.test(plain)) return { kind: "integer multiply" };
  if (/^v_(mov|dual_mov|swap)/.test(plain)) return { kind: "move" };
  if (/^v_(dual_)?\w*_f(16|32|64)$/.test(plain)) return { kind: "float" };
  if (plain.startsWith("v_")) return { kind: "integer", clamp: /^v_min3?_u32$/.test(plain) };
  if (/^ds_(load|read)/.test(plain)) return { kind: "shared load", bits: bitsOf(plain) };
  if (/^ds_(store|write)/.test(plain)) return { kind: "shared store", bits: bitsOf(plain) };
  if (plain.startsWith("scratch_")) return { kind: "scratch", bits: bitsOf(plain) };
  if (/^(buffer|global|flat)_load/.test(plain)) return { kind: "load", bits: bitsOf(plain) };
  if (/^(buffer|global|flat)_store/.test(plain)) return { kind: "store", bits: bitsOf(plain) };
  if (/^s_(cbranch|branch)/.test(plain)) return { kind: "branch" };
  if (/^s_barrier/.test(plain)) return { kind: "barrier" };
  if (/^s_(wait|delay_alu|nop|clause|sleep)/.test(plain)) return { kind: "wait" };
  return { kind: plain.startsWith("s_") ? "scalar" : "other" };
}
