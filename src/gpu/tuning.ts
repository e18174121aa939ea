/**
 * Choices between equivalent ways, such as tiles of a kernel for a shape. A launcher has a short list of them, its default first.
 * Which way is fastest depends on the adapter; `ghostbatch tune` measures it. Without a choice the default is used.
 */

/** A way as plain data, such as the sizes of a tile. */
export type Way = Readonly<Record<string, number | string>>;

/** A launcher's question: which way to use. */
export interface Question {
  /** Kernel and shape; the same for all launches that share a choice. */
  readonly key: string;
  /** The default first. */
  readonly ways: readonly Way[];
  /** Results of the launch, which every way computes alike, up to rounding. */
  readonly results: number;
}

export class Tuning {
  /** Chosen ways by the keys of their questions, including defaults that were measured to be fastest. */
  readonly choices: Readonly<Record<string, Way>>;
  /** Whether choices are used at all. */
  readonly wanted: boolean;
  readonly #questions = new Map<string, Question>();
  /** Keys of open questions that the user has been told about, by this object or the one it was copied from. */
  readonly #told: Set<string>;

  constructor(
    choices: Readonly<Record<string, Way>> = {},
    { wanted = true, told = new Set<string>() }: { wanted?: boolean; told?: Set<string> } = {},
  ) {
    this.choices = choices;
    this.wanted = wanted;
    this.#told = told;
  }

  /** All questions asked so far, each once. */
  get questions(): readonly Question[] {
    return [...this.#questions.values()];
  }

  /** Questions without an answer, whose launches might become faster by measuring. */
  get open(): readonly Question[] {
    if (!this.wanted) return [];
    return this.questions.filter(({ key, ways }) => ways.length > 1 && this.choices[key] === undefined);
  }

  /** The number of open questions that the user has not been told about. From now on they count as told. */
  tellOpen(): number {
    const untold = this.open.filter(({ key }) => !this.#told.has(key));
    for (const { key } of untold) this.#told.add(key);
    return untold.length;
  }

  /** Only the choices of tiles, without those between kernel variants. */
  ofTiles(): Tuning {
    const tiles = Object.entries(this.choices).filter(([, way]) => !("variant" in way));
    return new Tuning(Object.fromEntries(tiles), { wanted: this.wanted, told: this.#told });
  }

  /** The same choices, with nothing asked yet. */
  unasked(): Tuning {
    return new Tuning(this.choices, { wanted: this.wanted, told: this.#told });
  }

  /** The chosen way; the default if nothing was chosen or the chosen way is no longer in the list. */
  choose<W extends object>(key: string, ways: readonly [W, ...W[]], results: number): W {
    if (!this.#questions.has(key))
      this.#questions.set(key, { key, ways: ways as readonly unknown[] as Way[], results });
    const chosen = this.choices[key];
    if (chosen === undefined) return ways[0];
    const text = JSON.stringify(chosen);
    return ways.find((way) => JSON.stringify(way) === text) ?? ways[0];
  }
}
