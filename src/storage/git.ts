import { execFileSync } from "node:child_process";

export interface GitState {
  /** Full hash of the checked-out commit. */
  readonly hash: string;
  /** Whether tracked files differ from it. */
  readonly dirty: boolean;
}

/** The commit of `folder`; null outside a repository, before its first commit, or without git. */
export function gitState(folder: string): GitState | null {
  try {
    const hash = git(folder, "rev-parse", "--verify", "HEAD").trim();
    return { hash, dirty: git(folder, "status", "--porcelain", "--untracked-files=no").trim() !== "" };
  } catch {
    return null;
  }
}

function git(folder: string, ...words: string[]): string {
  // A hanging network file system must not keep a run from starting.
  return execFileSync("git", ["--no-optional-locks", ...words], {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    timeout: 5000,
  });
}
