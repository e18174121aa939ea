import { expect, test } from "vitest";
import { parseDeb822, parseOneLine } from "../../scripts/apt-sources.mjs";

test("a .sources file: several addresses, comments, an inline key, disabled entries, entries for source packages", () => {
  const text = `# a comment
Types: deb deb-src
URIs: http://one.example/debian
# another
  http://two.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
`;
  const entry = {
    suites: ["bookworm", "bookworm-updates"],
    components: ["main", "contrib"],
    options: { "signed-by": "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc" },
  };
  expect(parseDeb822(text)).toEqual([
    { uri: "http://one.example/debian", ...entry },
    { uri: "http://two.example/debian", ...entry },
  ]);
});

test("a .list file: options in brackets, comments, source packages", () => {
  const text = `# deb http://off.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [ arch=amd64 signed-by=/keys/debian.gpg ] http://one.example/debian bookworm main contrib # why
  deb\thttp://two.example/debian bookworm main
`;
  expect(parseOneLine(text)).toEqual([
    {
      uri: "http://one.example/debian",
      suites: ["bookworm"],
      components: ["main", "contrib"],
      options: { arch: "amd64", "signed-by": "/keys/debian.gpg" },
    },
    { uri: "http://two.example/debian", suites: ["bookworm"], components: ["main"], options: {} },
  ]);
});
