import { DataError, GhostbatchError, messageOf } from "../support/errors.ts";

const REASONS: Record<string, string> = {
  ENOSPC: "the disk is full: free some space or choose another folder",
  EDQUOT: "the disk quota is exceeded: free some space or choose another folder",
  EROFS: "the file system is read-only: choose another folder",
  EACCES: "permission denied: change the permissions or choose another folder",
  EPERM: "the system does not allow it: change the permissions or choose another folder",
  ENOENT: "no such file or folder",
  ENOTDIR: "part of the path is a file, not a folder",
  EISDIR: "it is a folder, not a file",
  EEXIST: "it already exists",
  ENAMETOOLONG: "the name is too long",
  EMFILE: "too many files are open: raise the limit (ulimit -n)",
  ENFILE: "too many files are open on this machine",
  EIO: "the disk reported an input/output error",
  ESTALE: "the network file system lost the file",
};

/**
 * The error to throw for a file operation that failed.
 * @param action what was tried, e.g. "write"
 * @returns a DataError that says why and what to do; an error of this project is returned unchanged
 */
export function fileError(cause: unknown, action: string, path: string): GhostbatchError {
  if (cause instanceof GhostbatchError) return cause;
  const code = errorCode(cause);
  const reason = REASONS[code ?? ""] ?? messageOf(cause);
  return new DataError(`${path}: cannot ${action}: ${reason}${code === undefined ? "" : ` (${code})`}`, {
    cause,
  });
}

/** The system's error code, e.g. "ENOENT"; undefined for errors of another origin. */
export function errorCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown)) return undefined;
  return typeof thrown.code === "string" ? thrown.code : undefined;
}
