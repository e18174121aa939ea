/**
 * The paper's released residual networks register their layers twice, the second time in a Sequential called `feats`
 * (conv1, bn1, relu, layer1, layer2, layer3), so their `load_state_dict` asks for both names.
 */
const FEATS: Readonly<Record<string, string>> = {
  conv1: "0",
  bn1: "1",
  layer1: "3",
  layer2: "4",
  layer3: "5",
};

/** The second name of a tensor in the authors' residual networks; null for other tensors. */
export function authorsAlias(name: string): string | null {
  const [first = "", ...rest] = name.split(".");
  const position = Object.hasOwn(FEATS, first) ? FEATS[first] : undefined;
  return position === undefined ? null : ["feats", position, ...rest].join(".");
}

/** Whether a name is such a second name. */
export function isAuthorsAlias(name: string): boolean {
  return /^((module|_orig_mod)\.)*feats\./.test(name);
}
