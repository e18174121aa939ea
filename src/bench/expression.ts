/** Arithmetic in the comments of kernel files: sums, products and quotients of numbers and names, with ceil, min and max. */

const TOKEN = /\s*(\d+(?:\.\d+)?|\w+|[-+*/(),])/y;

/**
 * The values of expressions separated by commas.
 * @param names what they may name
 * @param fail throws what is wrong
 */
export function evaluate(
  text: string,
  names: ReadonlyMap<string, number>,
  fail: (what: string) => never,
): number[] {
  const tokens = tokenize(text, fail);
  let at = 0;
  const take = (token: string) => {
    const found = tokens[at] === token;
    if (found) at++;
    return found;
  };
  const expect = (token: string) =>
    take(token) || fail(`expected ${token}, found ${tokens[at] ?? "the end"}`);

  const sum = (): number => {
    let value = product();
    for (;;) {
      if (take("+")) value += product();
      else if (take("-")) value -= product();
      else return value;
    }
  };
  const product = (): number => {
    let value = operand();
    for (;;) {
      if (take("*")) value *= operand();
      else if (take("/")) value /= operand();
      else return value;
    }
  };
  const operand = (): number => {
    if (take("(")) {
      const value = sum();
      expect(")");
      return value;
    }
    const token = tokens[at++] ?? fail("ends too early");
    if (/^\d/.test(token)) return Number(token);
    const call = { ceil: Math.ceil, min: Math.min, max: Math.max }[token];
    if (call) {
      expect("(");
      const values = list();
      expect(")");
      return call(...(values as [number]));
    }
    const known = [...names.keys()].join(", ");
    return names.get(token) ?? fail(`there is no ${token}; there are ${known}`);
  };
  const list = (): number[] => {
    const values = [sum()];
    while (take(",")) values.push(sum());
    return values;
  };

  const values = list();
  if (at < tokens.length) fail(`does not understand ${tokens[at]}`);
  return values;
}

function tokenize(text: string, fail: (what: string) => never): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) return fail(`does not understand ${JSON.stringify(text.slice(at).trim())}`);
    tokens.push(match[1]!);
  }
  return tokens;
}
