// Small programs of the tests, built as JavaScript: translating them at each start would take most of their CPU time.
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { buildProgram } from "../../scripts/program.mjs";

/**
 * Builds a program of this folder; it is removed after the tests of the calling file.
 * @param name  its TypeScript file without the extension
 * @returns path of the JavaScript
 */
export async function builtProgram(name: string): Promise<string> {
  const built = fileURLToPath(
    new URL(`../../.cache/test-programs/${name}.${process.pid}.mjs`, import.meta.url),
  );
  afterAll(() => {
    for (const file of [built, `${built}.map`]) rmSync(file, { force: true });
  });
  await buildProgram(fileURLToPath(new URL(`${name}.ts`, import.meta.url)), built);
  return built;
}
