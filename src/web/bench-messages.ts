/** Messages between the page and the worker of the bench tab. */
import type { KernelRow } from "../bench/kernels.ts";
import type { UserKernelReport } from "../bench/user-kernel.ts";
import type { AdapterFacts } from "../gpu/adapter.ts";
import type { Roofline } from "../gpu/roofline.ts";
import type { MissingGpu } from "../host/browser/missing-gpu.ts";

export type ToBench =
  /** Checks and times the kernels of an op. */
  | { readonly kind: "kernels"; readonly op: string }
  /** Checks a visitor's kernel in place of a built-in one, and times it. */
  | { readonly kind: "own kernel"; readonly code: string; readonly as: string }
  /** Asks for the text of a built-in kernel. */
  | { readonly kind: "source"; readonly as: string };

export type FromBench =
  /** What can be requested; sent once, before anything is opened. */
  | { readonly kind: "lists"; readonly ops: readonly string[]; readonly kernels: readonly string[] }
  | { readonly kind: "missing"; readonly reason: MissingGpu; readonly message: string }
  | { readonly kind: "adapter"; readonly adapter: AdapterFacts }
  | { readonly kind: "roofline"; readonly roofline: Roofline }
  | { readonly kind: "phase"; readonly phase: string }
  | { readonly kind: "rows"; readonly rows: readonly KernelRow[] }
  | { readonly kind: "wrong"; readonly pass: string; readonly case: string; readonly message: string }
  | { readonly kind: "report"; readonly report: UserKernelReport }
  | { readonly kind: "source"; readonly as: string; readonly code: string }
  | { readonly kind: "done" }
  | { readonly kind: "error"; readonly message: string };
