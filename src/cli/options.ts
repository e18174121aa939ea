/** Options that several verbs share, and how their values are read. */
import { InvalidArgumentError, Option } from "commander";

export const adapterOption = () =>
  new Option("--adapter <name>", "part of an adapter's name, or software (default: the fastest that is not software)");
export const dataDirOption = () => new Option("--data-dir <folder>", "folder of the data set's own files");
export const runsDirOption = () => new Option("--runs-dir <folder>", "folder of all run folders").default("runs");
export const jsonOption = () => new Option("--json", "print the result as JSON on standard output");

/** A whole number of at least `minimum`. */
export function wholeNumber(minimum: number) {
  return (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < minimum) {
      throw new InvalidArgumentError(`Expected a whole number of at least ${minimum}.`);
    }
    return value;
  };
}

/** A number from `minimum` on. */
export function realNumber(minimum: number) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < minimum) {
      throw new InvalidArgumentError(`Expected a number of at least ${minimum}.`);
    }
    return value;
  };
}

/** Values separated by commas, each one of `choices`, whatever the case of its letters. */
export function listOf<T extends string>(choices: readonly T[]) {
  return (text: string): T[] =>
    text.split(",").map((part) => {
      const choice = choices.find((candidate) => candidate.toLowerCase() === part.trim().toLowerCase());
      if (choice === undefined) throw new InvalidArgumentError(`There is no ${JSON.stringify(part)}; there are ${choices.join(", ")}.`);
      return choice;
    });
}

/** The command line as it could be typed again. */
export function typedCommand(): string {
  const quote = (word: string) => (/^[\w./:=,@+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
  return ["ghostbatch", ...process.argv.slice(2)].map(quote).join(" ");
}
