/** Substitutes a user's kernel file for a built-in one: what it must declare, and its dispatch in place of the built-in's. */
import type { Command } from "../gpu/command.ts";
import type { AnyKernel } from "../gpu/kernel.ts";
import type { ShaderFile } from "../gpu/shader.ts";
import { ShaderInterfaceError, UsageError } from "../support/errors.ts";
import { dispatchSize } from "./dispatch-size.ts";

/** A missing or extra declaration of a file that replaces another. */
export interface InterfaceProblem {
  readonly kind: "missing binding" | "missing override" | "wrong interface";
  readonly message: string;
}

/**
 * The `@compute` function of a file to run.
 * @param wanted a name, or undefined if the file has only one
 * @throws ShaderInterfaceError if it has none, or several and none is named; UsageError for an unknown name
 */
export function chooseEntryPoint({ path, source, declarations }: ShaderFile, wanted?: string): string {
  const entries = declarations.functions.filter(({ stage }) => stage === "compute");
  const names = entries.map(({ name }) => name);
  if (wanted !== undefined && !names.includes(wanted))
    throw new UsageError(`--entry ${wanted}: ${path} has ${names.join(", ") || "no entry point"}`);
  if (entries.length === 0)
    throw new ShaderInterfaceError(
      `${source.place(0)}: no entry point; expected a function with @compute and @workgroup_size`,
    );
  if (wanted === undefined && entries.length > 1)
    throw new ShaderInterfaceError(
      `${source.place(entries[1]!.start)}: ${entries.length} entry points, ${names.join(", ")}; name the one to run with --entry`,
    );
  return wanted ?? names[0]!;
}

/**
 * The file must bind what the built-in binds, by the same names and except what that marks as optional, and declare every override
 * without a default in the built-in. It may omit params and spec constants.
 */
export function interfaceProblems(file: ShaderFile, builtIn: ShaderFile): InterfaceProblem[] {
  const problems: InterfaceProblem[] = [];
  const complain = (kind: InterfaceProblem["kind"], message: string, name?: string) =>
    void problems.push({ kind, message: `${placeOf(file, name)}: ${message}` });
  const storage = ({ bindings }: ShaderFile) => bindings.filter(({ name }) => name !== "params");
  const own = new Map(storage(file).map((binding) => [binding.name, binding]));
  const wanted = storage(builtIn);
  for (const { name, kind, optional } of wanted) {
    const binding = own.get(name);
    if (!binding && optional) continue;
    if (!binding) complain("missing binding", `lacks the binding ${name} (${kind})`);
    else if (binding.kind !== kind)
      complain("wrong interface", `binds ${name} as ${binding.kind}, not as ${kind}`, name);
  }
  for (const { name, kind } of own.values()) {
    if (wanted.some((binding) => binding.name === name)) continue;
    const given = wanted.map((binding) => binding.name).join(", ");
    const uniform = kind === "uniform" ? "; the uniform is called params" : "";
    complain("wrong interface", `binds ${name}, which is not available (${given}${uniform})`, name);
  }
  const overrides = new Set(file.overrides.map(({ name }) => name));
  for (const { name, hasDefault } of builtIn.overrides) {
    if (!hasDefault && !overrides.has(name)) complain("missing override", `lacks \`override ${name}: …;\``);
  }
  const given = new Set(builtIn.overrides.map(({ name }) => name));
  for (const { name, hasDefault } of file.overrides) {
    if (!hasDefault && !given.has(name))
      complain(
        "wrong interface",
        `override ${name} has no default, and nothing sets it${builtIn.spec.includes(name) ? ` (in ${builtIn.path} it is a \`// @spec\` constant)` : ""}`,
        name,
      );
  }
  const fields = new Set(builtIn.params.map(({ name }) => name));
  for (const { name } of file.params) {
    if (!fields.has(name)) {
      complain(
        "wrong interface",
        `params has ${name}; the only fields are ${[...fields].join(", ") || "none"}`,
        name,
      );
    }
  }
  return problems;
}

/** "file:line:column" of the declaration of a name, else the file. */
function placeOf({ path, source, declarations }: ShaderFile, name?: string): string {
  const { variables, values, structs } = declarations;
  const members = structs.flatMap((struct) => struct.members);
  const declared = [...variables, ...values, ...members].find((one) => one.name === name);
  return declared ? source.place(declared.start) : path;
}

export interface UserKernel {
  readonly shader: ShaderFile;
  readonly entryPoint: string;
  /** Workgroups along one side of a grid that the adapter can dispatch. */
  readonly mostGroups: number;
}

/**
 * The same dispatch with the user's file.
 * @throws ShaderInterfaceError if the built-in is launched with a switch on that the file lacks, or for an invalid @dispatch
 */
export function substitute({ kernel, launch }: Command, user: UserKernel): Command {
  const { shader: file, entryPoint, mostGroups } = user;
  const declared = new Set(file.overrides.map(({ name }) => name));
  const overrides: Record<string, number | boolean> = {};
  for (const [name, value] of Object.entries(launch.overrides ?? {})) {
    if (declared.has(name)) overrides[name] = value;
    else if (value === true) {
      throw new ShaderInterfaceError(
        `${file.path}: lacks \`override ${name}: bool;\`, which this case of ${kernel.file} sets to true`,
      );
    }
  }
  const spec = Object.fromEntries(
    Object.entries(launch.spec ?? {}).filter(([name]) => file.spec.includes(name)),
  );
  const values = { ...launch.spec, ...launch.params, ...launch.overrides };
  const names = new Map(Object.entries(values).map(([name, value]) => [name, Number(value)]));
  const workgroups = dispatchSize(file, { entryPoint, names, mostGroups }) ?? launch.workgroups;
  const own: AnyKernel = {
    file: file.path,
    bindings: file.bindings.map(({ name }) => name).filter((name) => name !== "params"),
    overrides: Object.keys(overrides),
    params: file.params.map(({ name }) => name),
    spec: Object.keys(spec),
    entryPoint,
  };
  return { kernel: own, launch: { ...launch, overrides, spec, workgroups } };
}
