/**
 * A kernel, as TypeScript sees it: the .wgsl file and the names it binds. The names are types, so a launch with
 * a missing or misspelt buffer, override or param does not compile; against the file they are checked on first use.
 */
import { ShaderError } from "../support/errors.ts";
import type { ShaderFile } from "./shader.ts";
import type { BufferView } from "./storage.ts";

export interface Kernel<B extends string, O extends string, P extends string, S extends string> {
  /** Path under shaders/. */
  readonly file: string;
  /** All bindings except `params`, in the file's order. */
  readonly bindings: readonly B[];
  /** Overrides it sets: all that have no default in the file, and any others that it wants to choose. */
  readonly overrides: readonly O[];
  /** Fields of `struct Params`, in order. */
  readonly params: readonly P[];
  /** Names of the `// @spec` lines it sets. */
  readonly spec: readonly S[];
  /** The `@compute` function to run, if the file has several. */
  readonly entryPoint?: string;
}

export type AnyKernel = Kernel<string, string, string, string>;

interface KernelNames<B extends string, O extends string, P extends string, S extends string> {
  readonly file: string;
  readonly bindings: readonly B[];
  readonly overrides?: readonly O[];
  readonly params?: readonly P[];
  readonly spec?: readonly S[];
}

const defined = new Map<string, AnyKernel[]>();

/** Declares a kernel. Two kernels may share a file with different spec constants; each names what it uses. */
export function defineKernel<
  const B extends string,
  const O extends string = never,
  const P extends string = never,
  const S extends string = never,
>(names: KernelNames<B, O, P, S>): Kernel<B, O, P, S> {
  const kernel = { overrides: [], params: [], spec: [], ...names } as Kernel<B, O, P, S>;
  defined.set(kernel.file, [...(defined.get(kernel.file) ?? []), kernel]);
  return kernel;
}

/** All kernels of the modules loaded so far, for the test that every .wgsl file belongs to one. */
export function definedKernels(): readonly AnyKernel[] {
  return [...defined.values()].flat();
}

/** Cost of one dispatch: what the profiler and the benchmarks divide by time. */
export interface Cost {
  /** Floating-point operations; a multiply-add is 2. */
  readonly flops: number;
  /** Bytes read and written if every tensor is accessed once. */
  readonly bytes: number;
}

type Named<Key extends string, N extends string, V> = [N] extends [never]
  ? { readonly [K in Key]?: Record<string, never> }
  : { readonly [K in Key]: Readonly<Record<N, V>> };

export type Launch<B extends string, O extends string, P extends string, S extends string> = {
  readonly buffers: Readonly<Record<B, BufferView>>;
  /** Workgroups in x, y and z. */
  readonly workgroups: readonly [number, number?, number?];
  readonly cost: Cost;
  /** Key of the tuning question that `gpu.tuning` answered for this launch. */
  readonly choice?: string;
} & Named<"overrides", O, number | boolean> &
  Named<"params", P, number> &
  Named<"spec", S, number | string>;

export interface AnyLaunch {
  readonly buffers: Readonly<Record<string, BufferView>>;
  readonly workgroups: readonly [number, number?, number?];
  readonly cost: Cost;
  readonly choice?: string;
  readonly overrides?: Readonly<Record<string, number | boolean>>;
  readonly params?: Readonly<Record<string, number>>;
  readonly spec?: Readonly<Record<string, number | string>>;
}

/** @throws ShaderError when the names that TypeScript uses are not those of the file */
export function checkKernel(kernel: AnyKernel, shader: ShaderFile): void {
  const bound = shader.bindings.map((binding) => binding.name).filter((name) => name !== "params");
  if (bound.join() !== kernel.bindings.join()) {
    throw new ShaderError(
      `${kernel.file}: binds (${bound.join(", ")}), but the kernel names (${kernel.bindings.join(", ")})`,
    );
  }
  const fields = shader.params.map((field) => field.name);
  if (fields.join() !== kernel.params.join()) {
    throw new ShaderError(
      `${kernel.file}: Params has (${fields.join(", ")}), but the kernel names (${kernel.params.join(", ")})`,
    );
  }
  const overrides = new Map(shader.overrides.map((override) => [override.name, override]));
  for (const name of kernel.overrides) {
    if (!overrides.has(name)) throw new ShaderError(`${kernel.file}: override ${name} does not exist`);
  }
  for (const { name, hasDefault } of shader.overrides) {
    if (!hasDefault && !kernel.overrides.includes(name)) {
      throw new ShaderError(
        `${kernel.file}: override ${name} has no default, and the kernel does not set it`,
      );
    }
  }
  for (const name of kernel.spec) {
    if (!shader.spec.includes(name))
      throw new ShaderError(`${kernel.file}: has no "// @spec" line for ${name}`);
  }
}
