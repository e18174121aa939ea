/** A user's own network: compiles and checks the file that `--model` names, and adds it to the list of models. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { z } from "zod";
import * as library from "../../index.ts";
import { registerModel } from "../../models/index.ts";
import type { ImageFacts, ModelEntry } from "../../models/model-entry.ts";
import { Module } from "../../nn/module.ts";
import { describeFault } from "../../support/damage.ts";
import { GhostbatchError, messageOf, UsageError } from "../../support/errors.ts";
import { registerOwnRegime } from "../../train/base-regimes.ts";

/** Where the compiled file finds the library: this process's classes, not a second copy of them. */
const LIBRARY = Symbol.for("ghostbatch");

const Images = z.strictObject({
  channels: z.int().positive(),
  height: z.int().positive(),
  width: z.int().positive(),
  classes: z.int().min(2),
});
const OwnRegime = z.strictObject({
  batchSize: z.int().positive(),
  epochs: z.number().positive(),
  entries: z
    .array(
      z.strictObject({
        epoch: z.number().min(0),
        learningRate: z.number().positive().optional(),
        momentum: z.number().min(0).lt(1).optional(),
        weightDecay: z.number().min(0).optional(),
      }),
    )
    .min(1)
    .refine(
      ([first]) => first?.epoch === 0 && first.learningRate !== undefined,
      "the first entry needs epoch 0 and a learning rate",
    )
    .refine(
      (entries) => entries.every(({ epoch }, i) => i === 0 || epoch > entries[i - 1]!.epoch),
      "epochs must ascend",
    ),
});

/** MNIST's image shape, for a step without data if the network does not declare its images. */
const DEFAULT_IMAGE: ImageFacts = { channels: 1, height: 28, width: 28, classes: 10 };

export function isModelFile(model: string): boolean {
  return /\.[cm]?[jt]s(#|$)/.test(model);
}

/**
 * Loads the file that a model names, and adds its network and regime to the lists.
 * @param model the name of a network, which is returned unchanged, or a path, optionally with # and the file's former hash
 * @returns its name in specifications: path, and hash of the file and what it imports
 * @throws UsageError for a file that is missing, does not compile, has changed, or exports something else
 */
export async function loadModel(model: string): Promise<string> {
  if (!isModelFile(model)) return model;
  const [written, hashBefore] = model.split("#") as [string, string?];
  const path = resolve(written);
  if (!existsSync(path)) throw new UsageError(`--model ${written}: no such file`);
  const { code, hash } = await compiled(path);
  if (hashBefore !== undefined && hashBefore !== hash)
    throw new UsageError(
      `--model ${written}: the file, or one that it imports, has changed since the run began (${hashBefore}, now ${hash}); restore it, or start a new run`,
    );
  const name = `${path}#${hash}`;
  const exported = await evaluated(path, code);
  const regime =
    exported["regime"] === undefined ? null : checked(path, "regime", OwnRegime, exported["regime"]);
  const image =
    exported["image"] === undefined ? DEFAULT_IMAGE : checked(path, "image", Images, exported["image"]);
  if (regime !== null)
    registerOwnRegime(name, { name: "own", ...regime } as Parameters<typeof registerOwnRegime>[1]);
  registerModel(name, entryOf(path, exported["default"], image));
  return name;
}

function entryOf(path: string, make: unknown, image: ImageFacts): ModelEntry {
  if (typeof make !== "function")
    throw new UsageError(
      `${path}: expected a default export that makes a network, as in "export default ({ channels, classes }) => new Net(channels, classes)", found ${make === undefined ? "none" : typeof make}`,
    );
  return {
    options: [],
    regime: "own",
    image,
    // Unknown whether a normalized layer sees one pixel per image or more; one is safe.
    normalizedPixels: () => 1,
    create(facts) {
      const made = orUsageError(path, () => (make as (image: ImageFacts) => unknown)({ ...facts }));
      if (made instanceof Module) return made;
      throw new UsageError(
        `${path}: expected the default export to make a Module of ghostbatch, found ${typeof made}`,
      );
    },
  };
}

function orUsageError<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    if (cause instanceof GhostbatchError) throw cause;
    throw new UsageError(`${path}: ${messageOf(cause)}`, { cause });
  }
}

/** Bundles the file and what it imports into one module, and hashes their texts. @throws UsageError with file, line and column */
async function compiled(path: string): Promise<{ code: string; hash: string }> {
  const { build } = await import("esbuild");
  const names = Object.keys(library);
  const result = await build({
    entryPoints: [path],
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "node",
    logLevel: "silent",
    absWorkingDir: dirname(path),
    plugins: [
      {
        name: "library",
        setup(plugin) {
          plugin.onResolve({ filter: /^ghostbatch$/ }, () => ({ path: "ghostbatch", namespace: "library" }));
          plugin.onResolve({ filter: /^ghostbatch\/node$/ }, () => ({
            errors: [{ text: 'a model may import "ghostbatch" alone, not "ghostbatch/node"' }],
          }));
          plugin.onLoad({ filter: /.*/, namespace: "library" }, () => ({
            contents: `export const { ${names.join(", ")} } = globalThis[Symbol.for("ghostbatch")];`,
          }));
        },
      },
    ],
  }).catch(
    (cause: {
      errors?: { text: string; location: { file: string; line: number; column: number } | null }[];
    }) => {
      const [error] = cause.errors ?? [];
      const { file, line, column } = error?.location ?? {};
      const place = file === undefined ? path : `${resolve(dirname(path), file)}:${line}:${column! + 1}`;
      throw new UsageError(`${place}: ${error?.text ?? messageOf(cause)}`, { cause });
    },
  );
  const hash = createHash("sha256");
  for (const input of Object.keys(result.metafile.inputs).sort()) {
    if (input.startsWith("library:")) continue;
    const file = resolve(dirname(path), input);
    hash.update(`${relative(dirname(path), file)}\n`).update(readFileSync(file));
  }
  return { code: result.outputFiles[0]!.text, hash: hash.digest("hex").slice(0, 12) };
}

async function evaluated(path: string, code: string): Promise<Record<string, unknown>> {
  (globalThis as Record<symbol, unknown>)[LIBRARY] = library;
  try {
    return (await import(`data:text/javascript;base64,${Buffer.from(code).toString("base64")}`)) as Record<
      string,
      unknown
    >;
  } catch (cause) {
    throw new UsageError(`${path}: ${messageOf(cause)}`, { cause });
  }
}

function checked<T>(path: string, name: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue, ...others] = result.error.issues;
  const named = [{ ...issue!, path: [name, ...issue!.path] }, ...others];
  throw new UsageError(`${path}: ${describeFault(named, { [name]: value })}`);
}
