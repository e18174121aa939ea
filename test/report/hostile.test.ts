// Records and runs with hostile names and texts.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { visible } from "../../src/support/visible.ts";
import { ghostbatch } from "../support/command-line.ts";
import { record, series } from "../support/made-record.ts";
import { makeRun } from "../support/made-run.ts";

const parent = mkdtempSync(join(tmpdir(), "ghostbatch-hostile-"));
afterAll(() => rmSync(parent, { recursive: true }));

let root: string;
let runs: string;
beforeEach(() => {
  root = mkdtempSync(join(parent, "case-"));
  runs = join(root, "runs");
  mkdirSync(runs);
});

const put = (file: string, content: object) =>
  writeFileSync(join(runs, `${file}.experiment.json`), JSON.stringify(content));
const report = (id: string, out = join(root, "out")) =>
  ghostbatch(["report", "--experiment", id, "--runs-dir", runs, "--out", out]);

test.each(["..", "../../x", "/etc/x", "a/b", "", ".hidden", "a\u001b[2J"])(
  "an experiment or a run called %j is refused, and nothing is written",
  async (name) => {
    makeRun(runs, { name: "run" });
    put("as-id", { ...record("table1", [series("SB", ["run"])]), id: name });
    put("of-run", { ...record("table1", [series("SB", [name])]), id: "of-run" });
    for (const id of ["as-id", "of-run"]) {
      const { code, stderr, stdout } = await report(id);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/^error: .*expected a name of letters, digits.*\n$/);
      expect(stderr).not.toContain("\u001b");
    }
    expect(readdirSync(root)).toEqual(["runs"]);
  },
);

test.each(["constructor", "__proto__", "toString", "hasOwnProperty"])(
  "kinds, groups and series called %s are names like any other",
  async (name) => {
    makeRun(runs, { name });
    for (const kind of [name, "table1", "figure1", "figure2", "figure3"]) {
      put("named", { ...record(kind, [series(name, [name], { group: name })]), id: "named" });
      const { code, stderr } = await report("named");
      expect([code, stderr]).toEqual([0, expect.not.stringContaining("defect")]);
      expect(readFileSync(join(root, "out", "report.md"), "utf8")).toContain("94.30");
    }
  },
);

test("group names become distinct file names inside the folder", async () => {
  makeRun(runs, { name: "run" });
  const groups = ["../../up", "/up", "up", "a/../b", ".."];
  put("groups", {
    ...record(
      "figure2",
      groups.map((group) => series("b", ["run"], { group })),
    ),
    id: "groups",
  });
  const { code, stdout } = await report("groups");
  expect(code).toBe(0);
  const written = stdout.trim().split("\n");
  expect(written.filter((path) => path.endsWith(".svg"))).toHaveLength(groups.length);
  for (const path of written)
    expect([path, existsSync(path)]).toEqual([expect.stringMatching(/out\/[\w.+=@,-]+$/), true]);
  expect(new Set(written).size).toBe(written.length);
  expect(readdirSync(root).sort()).toEqual(["out", "runs"]);
});

test("texts are shown and inert in Markdown, on the page and on a terminal", async () => {
  makeRun(runs, { name: "run", adapter: "GPU \u001b]0;title\u0007 <img src=x>" });
  const text = "a [link](http://x) **b** `c` <script>alert(1)</script> | d\n# e \u001b[31m";
  put("texts", {
    ...record("table1", [series(text, ["run", "missing"], { group: text })]),
    ...{ id: "texts", title: text, notes: [text], command: "x ` y", scale: text },
  });
  const { code, stdout, stderr } = await report("texts");
  expect(code).toBe(0);
  const read = (name: string) => readFileSync(join(root, "out", name), "utf8");
  for (const shown of [stdout, stderr, read("report.md")]) expect(visible(shown)).toBe(shown);
  const escaped =
    "a [link\\](http://x) \\*\\*b\\*\\* \\`c\\` \\<script\\>alert(1)\\</script\\> CUT d # e \\\\x1b[31m";
  expect(read("report.md").split("\n")[0]).toBe(`# ${escaped.replace("CUT", "|")}`);
  expect(read("report.md")).toContain(
    `| ${escaped.replace("CUT", "\\|")} | ${escaped.replace("CUT", "\\|")} |`,
  );
  const page = read("report.html").replaceAll(/<script[\s>][\s\S]*?<\/script>/g, "");
  expect(page).toContain("&lt;script&gt;alert(1)&lt;/script&gt; | d # e");
  expect(page).toContain("a [link](http://x) **b** `c`");
  expect(page).not.toContain("<img");
});

test("a record that is a folder, and an --out that is a file or cannot be created, are errors at once", async () => {
  makeRun(runs, { name: "run" });
  mkdirSync(join(runs, "folder.experiment.json"));
  const folder = await report("folder");
  expect([folder.code, folder.stderr]).toEqual([2, expect.stringMatching(/expected a file, found a folder/)]);
  put("table1-test", record("table1", [series("SB", ["run"])]));
  writeFileSync(join(root, "file"), "");
  for (const [out, why] of [
    [join(root, "file"), /file: expected a folder, found a file/],
    [join(root, "file", "in"), /part of the path is a file/],
    ["/proc/none/in", /cannot create the folder/],
  ] as const) {
    const { code, stderr } = await report("table1-test", out);
    expect([code, stderr]).toEqual([2, expect.stringMatching(why)]);
  }
});
