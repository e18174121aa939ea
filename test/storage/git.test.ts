import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { gitState } from "../../src/storage/git.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-git-"));
afterAll(() => rmSync(folder, { recursive: true }));

function git(...words: string[]): string {
  const identity = [
    "-c",
    "user.name=test",
    "-c",
    "user.email=test@example.org",
    "-c",
    "commit.gpgsign=false",
  ];
  return execFileSync("git", [...identity, ...words], { cwd: folder, encoding: "utf8", stdio: "pipe" });
}

const hasGit = gitAnswers();

function gitAnswers(): boolean {
  try {
    return git("--version").startsWith("git");
  } catch {
    return false;
  }
}

test.runIf(hasGit)("the commit, and whether tracked files differ from it", () => {
  expect(gitState(folder)).toBeNull();
  git("init", "--quiet");
  expect(gitState(folder)).toBeNull();
  writeFileSync(join(folder, "file"), "one");
  git("add", "file");
  git("commit", "--quiet", "--message", "first");
  const hash = git("rev-parse", "HEAD").trim();
  expect(gitState(folder)).toEqual({ hash, dirty: false });
  writeFileSync(join(folder, "untracked"), "");
  expect(gitState(folder)).toEqual({ hash, dirty: false });
  writeFileSync(join(folder, "file"), "two");
  expect(gitState(folder)).toEqual({ hash, dirty: true });
});

test("null for a missing folder", () => {
  expect(gitState(join(folder, "missing"))).toBeNull();
});
