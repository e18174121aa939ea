/** What Mesa's NVK reports about a pipeline, as scripts/pipeline-statistics-layer.c writes it: statistics, then the assembly. */
import type { Family } from "./families.ts";
import type { Instruction } from "./instructions.ts";
import type { Compiled } from "./listing.ts";
import type { Block } from "./loops.ts";

const WARP = 32;

/** @param room memory and workgroups of a multiprocessor, since the driver counts warps by registers alone */
export function readNvidiaListing(text: string, room: NonNullable<Family["room"]>): Compiled | null {
  const assembly = text.match(/^listing NAK assembly\n(.*)/ms)?.[1];
  if (assembly === undefined) return null;
  const statistics = new Map(
    [...text.matchAll(/^statistic (.*?): (\d+)$/gm)].map(([, name, x]) => [name, Number(x)]),
  );
  const value = (name: string) => statistics.get(name) ?? 0;
  const [, x = "1", y = "1", z = "1"] = text.match(/^statistic workgroup_size: (\d+), (\d+), (\d+)/m) ?? [];
  const warps = Math.ceil((Number(x) * Number(y) * Number(z)) / WARP);
  const sharedBytes = value("shared_size");
  const workgroups = Math.min(room.workgroups, Math.floor(room.sharedBytes / Math.max(1, sharedBytes)));
  return {
    registers: value("Number of GPRs"),
    waves: Math.min(value("Max warps/SM"), warps * workgroups),
    scratchBytes: value("SLM size"),
    spills: value("Spills to memory"),
    sharedBytes,
    codeBytes: value("Code size"),
    blocks: blocksOf(assembly),
  };
}

/** Blocks are written as `block 3 L7 [0, 1] -> {`, instructions, `} -> [4, 5]`. */
function blocksOf(assembly: string): Block[] {
  const found = [...assembly.matchAll(/^block(?:\.u)? (\d+) [^\n]*\{\n(.*?)^\} -> \[(.*?)\]/gms)];
  const places = new Map(found.map(([, name], place) => [name, place]));
  return found.map(([, , body, next]) => ({
    instructions: body!.split("\n").flatMap((line) => readInstruction(line) ?? []),
    next: next!
      .split(",")
      .map((name) => name.trim())
      .flatMap((name) => places.get(name) ?? []),
  }));
}

const INTEGER =
  /^(iadd|lea|shf|lop3|imnmx|isetp|sel$|plop3|fmnmx|fsetp|fset|prmt|iabs|flo|popc|bmsk|sgxt|vote|r2ur)/;

/** A line is `@!p0 r1 = ffma r1 r2 r3  // delay=4`. */
function readInstruction(line: string): Instruction | null {
  const code = line
    .replace(/\/\/.*/, "")
    .trim()
    .replace(/^@!?u?p\w+\s+/, "");
  if (code === "") return null;
  const [, target = "", operation = ""] = code.match(/^(?:(.*?) = )?(.*)$/) ?? [];
  const [name = ""] = operation.split(/\s/, 1);
  const bits = Number(name.match(/\.[bui](\d+)$/)?.[1] ?? 32);
  if (name.startsWith("ffma")) return { kind: "multiply-add" };
  if (name.startsWith("ld.shared")) return { kind: "shared load", bits };
  if (name.startsWith("st.shared")) return { kind: "shared store", bits };
  if (/^(ld|st)\.local/.test(name)) return { kind: "scratch", bits };
  if (name.startsWith("ld.")) return { kind: "load", bits };
  if (name.startsWith("st.")) return { kind: "store", bits };
  if (/^(bra|bsync|bssy|bclear|break|exit|warpsync)/.test(name)) return { kind: "branch" };
  if (/^(bar|membar)/.test(name)) return { kind: "barrier" };
  if (name === "nop") return { kind: "wait" };
  if (/^u[rp]\d/.test(target)) return { kind: "scalar" };
  if (/^(imad|imul)/.test(name)) return { kind: "integer multiply" };
  if (/^(fadd|fmul)/.test(name)) return { kind: "float" };
  if (name === "mov") return { kind: "move" };
  if (INTEGER.test(name)) return { kind: "integer", clamp: /^imnmx.*u32/.test(name) };
  return { kind: "other" };
}
