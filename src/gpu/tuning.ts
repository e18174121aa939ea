/**
 * The choices between ways that are all right: tiles of a kernel for a shape, of which a launcher knows a short list with its
 * default first. Which is fastest depends on the adapter; `ghostbatch tune` measures it. Without a choice the default is taken.
 */

/** A way as plain data: sizes of a tile. */
export type Way = Readonly<Record<string, number | string>>;

/** What a launcher has asked. */
export interface Question {
  /** Kernel and shape, the same for all that share a choice. */
  readonly key: string;
  /** The default first. */
  readonly ways: readonly Way[];
  /** Results of the launch: numbers that are the same, up to rounding, whatever the way. */
  readonly results: number;
}

export class Tuning {
  /** Chosen ways by the keys of their questions; of what was measured, the defaults too. */
  readonly choices: Readonly<Record<string, Way>>;
  /** Whether choices are wanted at all. */
  readonly wanted: boolean;
  readonly #questions = new Map<string, Question>();
  /** Keys of open questions that the user has been told of, by this or by what it was made from. */
  readonly #told: Set<string>;

  constructor(
    choices: Readonly<Record<string, Way>> = {},
    { wanted = true, told = new Set<string>() }: { wanted?: boolean; told?: Set<string> } = {},
  ) {
    this.choices = choices;
    this.wanted = wanted;
    this.#told = told;
  }

  /** All that has been asked so far, each question once. */
  get questions(): readonly Question[] {
    return [...this.#questions.values()];
  }

  /** Questions whose answer is not known: measuring might make them faster. */
  get open(): readonly Question[] {
    if (!this.wanted) return [];
    return this.questions.filter(({ key, ways }) => ways.length > 1 && this.choices[key] === undefined);
  }

  /** How many questions are open that the user has not been told of; from now on they count as told. */
  tellOpen(): number {
    const untold = this.open.filter(({ key }) => !this.#told.has(key));
    for (const { key } of untold) this.#told.add(key);
    return untold.length;
  }

  /** The choices of tiles alone: those between kernel variants are left out. */
  ofTiles(): Tuning {
    const tiles = Object.entries(this.choices).filter(([, way]) => !("variant" in way));
    return new Tuning(Object.fromEntries(tiles), { wanted: this.wanted, told: this.#told });
  }

  /** The same choices, with nothing asked yet. */
  unasked(): Tuning {
    return new Tuning(this.choices, { wanted: this.wanted, told: this.#told });
  }

  /** The chosen way; the default where nothing was chosen, or what was chosen is not in the list any more. */
  choose<W extends object>(key: string, ways: readonly [W, ...W[]], results: number): W {
    if (!this.#questions.has(key))
      this.#questions.set(key, { key, ways: ways as readonly unknown[] as Way[], results });
    const chosen = this.choices[key];
    if (chosen === undefined) return ways[0];
    const text = JSON.stringify(chosen);
    return ways.find((way) => JSON.stringify(way) === text) ?? ways[0];
  }
}
