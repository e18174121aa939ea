/**
 * Describes a case, for the name of a test or a line of a benchmark: "N=2 C=3 stride=2 relu". Omits flags that are off, values
 * that are absent, and `paper`.
 */
export function caseLabel(testCase: object): string {
  const words: string[] = [];
  for (const [key, value] of Object.entries(testCase)) {
    if (key === "paper" || value === false || value === undefined) continue;
    words.push(value === true ? key : `${key}=${Array.isArray(value) ? value.join(",") : value}`);
  }
  return words.join(" ");
}
