/** A user's kernel file in the place of a built-in one: what it must declare, and its dispatch for that of the built-in. */
import type { Command } from "../gpu/command.ts";
import type { AnyKernel } from "../gpu/kernel.ts";
import type { ShaderFile } from "../gpu/shader.ts";
import { ShaderError } from "../support/errors.ts";
import { dispatchSize } from "./dispatch-size.ts";

/** What a file that stands for another lacks or has too much. */
export interface InterfaceProblem {
  readonly kind: "missing binding" | "missing override" | "wrong interface";
  readonly message: string;
}

/**
 * The file must bind what the built-in binds, in its order, and declare every override that the built-in has no default
 * for. Params and spec constants it may leave out.
 */
export function interfaceProblems(file: ShaderFile, builtIn: ShaderFile): InterfaceProblem[] {
  const problems: InterfaceProblem[] = [];
  const complain = (kind: InterfaceProblem["kind"], message: string) =>
    void problems.push({ kind, message: `${file.path}: ${message}` });
  const storage = ({ bindings }: ShaderFile) => bindings.filter(({ name }) => name !== "params");
  const own = new Map(storage(file).map((binding) => [binding.name, binding]));
  const wanted = storage(builtIn);
  for (const { name, kind } of wanted) {
    const binding = own.get(name);
    if (!binding) complain("missing binding", `lacks the binding ${name} (${kind})`);
    else if (binding.kind !== kind)
      complain("wrong interface", `binds ${name} as ${binding.kind}, not as ${kind}`);
  }
  for (const name of own.keys()) {
    if (!wanted.some((binding) => binding.name === name))
      complain("wrong interface", `binds ${name}, which it is not given`);
  }
  const order = [...own.keys()].join(", ");
  const names = wanted.map(({ name }) => name).join(", ");
  if (problems.length === 0 && order !== names)
    complain("wrong interface", `binds (${order}), expected the order (${names})`);

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
      );
  }
  const fields = new Set(builtIn.params.map(({ name }) => name));
  for (const { name } of file.params) {
    if (!fields.has(name)) {
      complain("wrong interface", `Params has ${name}; there are only ${[...fields].join(", ") || "none"}`);
    }
  }
  return problems;
}

/**
 * The same dispatch by the user's file.
 * @throws ShaderError where the built-in is launched with a switch on that the file does not have, or for its @dispatch
 */
export function substitute({ kernel, launch }: Command, file: ShaderFile): Command {
  const declared = new Set(file.overrides.map(({ name }) => name));
  const overrides: Record<string, number | boolean> = {};
  for (const [name, value] of Object.entries(launch.overrides ?? {})) {
    if (declared.has(name)) overrides[name] = value;
    else if (value === true) {
      throw new ShaderError(
        `${file.path}: lacks \`override ${name}: bool;\`, which this case of ${kernel.file} sets to true`,
      );
    }
  }
  const spec = Object.fromEntries(
    Object.entries(launch.spec ?? {}).filter(([name]) => file.spec.includes(name)),
  );
  const values = { ...launch.spec, ...launch.params, ...launch.overrides };
  const names = new Map(Object.entries(values).map(([name, value]) => [name, Number(value)]));
  const workgroups = dispatchSize(file.path, file.code, names) ?? launch.workgroups;
  const own: AnyKernel = {
    file: file.path,
    bindings: kernel.bindings,
    overrides: Object.keys(overrides),
    params: file.params.map(({ name }) => name),
    spec: Object.keys(spec),
  };
  return { kernel: own, launch: { ...launch, overrides, spec, workgroups } };
}
