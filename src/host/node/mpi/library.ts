/**
 * The machine's MPI library, called through koffi. The MPI standard defines functions, but not how a program represents a
 * communicator or a type: in OpenMPI it is the address of a symbol (mpi.h, OMPI_PREDEFINED_GLOBAL), in MPICH and its derivatives
 * (Intel MPI, MVAPICH, Cray MPICH; mpi.h of the MPICH ABI) a 32-bit number.
 */
import { DeviceError, messageOf } from "../../../support/errors.ts";
import type { Launch } from "./launcher.ts";

/** File names of each kind of library, the most common first. */
const FILES = {
  openmpi: ["libmpi.so.40", "libmpi.so.80", "libmpi.so"],
  mpich: ["libmpi.so.12", "libmpich.so.12", "libmpi_gnu_123.so.12", "libmpi_cray.so.12", "libmpi.so"],
};

type Handle = bigint | number;
type Pointer = ArrayBufferView | Handle | null;

export interface MpiLibrary {
  /** First line of its version text, e.g. "Open MPI v4.1.4, …". */
  readonly version: string;
  readonly world: Handle;
  readonly float: Handle;
  readonly byte: Handle;
  readonly sum: Handle;
  readonly errorsReturn: Handle;
  /** Each returns 0, or an error code for `errorText`. */
  readonly calls: MpiCalls;
  errorText(code: number): string;
}

export interface MpiCalls {
  initThread(argc: null, argv: null, level: number, provided: Int32Array): number;
  finalize(): number;
  abort(communicator: Handle, exitCode: number): number;
  rank(communicator: Handle, rank: Int32Array): number;
  size(communicator: Handle, size: Int32Array): number;
  setErrorHandler(communicator: Handle, handler: Handle): number;
  test(request: Pointer, flag: Int32Array, status: Pointer): number;
  reduceLocal(input: Pointer, inout: Pointer, count: number, type: Handle, op: Handle): number;
  // biome-ignore format: one line each, as in the standard
  ialltoall(send: Pointer, count: number, type: Handle, receive: Pointer, receiveCount: number, receiveType: Handle, communicator: Handle, request: Pointer): number;
  // biome-ignore format: as above
  iallgather(send: Pointer, count: number, type: Handle, receive: Pointer, receiveCount: number, receiveType: Handle, communicator: Handle, request: Pointer): number;
  // biome-ignore format: as above
  allreduce(send: Pointer, receive: Pointer, count: number, type: Handle, op: Handle, communicator: Handle): number;
  ibcast(
    buffer: Pointer,
    count: number,
    type: Handle,
    root: number,
    communicator: Handle,
    request: Pointer,
  ): number;
  // biome-ignore format: as above
  isend(buffer: Pointer, count: number, type: Handle, to: number, tag: number, communicator: Handle, request: Pointer): number;
  iprobe(from: number, tag: number, communicator: Handle, flag: Int32Array, status: Pointer): number;
  // biome-ignore format: as above
  recv(buffer: Pointer, count: number, type: Handle, from: number, tag: number, communicator: Handle, status: Pointer): number;
}

/** C prototypes; H stands for a communicator, a type or an operation. */
const PROTOTYPES: Record<keyof MpiCalls, string> = {
  initThread: "MPI_Init_thread(void *, void *, int, void *)",
  finalize: "MPI_Finalize()",
  abort: "MPI_Abort(H, int)",
  rank: "MPI_Comm_rank(H, void *)",
  size: "MPI_Comm_size(H, void *)",
  setErrorHandler: "MPI_Comm_set_errhandler(H, H)",
  test: "MPI_Test(void *, void *, void *)",
  reduceLocal: "MPI_Reduce_local(void *, void *, int, H, H)",
  ialltoall: "MPI_Ialltoall(void *, int, H, void *, int, H, H, void *)",
  iallgather: "MPI_Iallgather(void *, int, H, void *, int, H, H, void *)",
  allreduce: "MPI_Allreduce(void *, void *, int, H, H, H)",
  ibcast: "MPI_Ibcast(void *, int, H, int, H, void *)",
  isend: "MPI_Isend(void *, int, H, int, int, H, void *)",
  iprobe: "MPI_Iprobe(int, int, H, void *, void *)",
  recv: "MPI_Recv(void *, int, H, int, int, H, void *)",
};

/** The numbers of the MPICH ABI (mpi.h). */
const MPICH = {
  world: 0x44000000,
  float: 0x4c00040a,
  byte: 0x4c00010d,
  sum: 0x58000003,
  errorsReturn: 0x54000001,
};

/** The symbols of OpenMPI (mpi.h). */
const OPENMPI = {
  world: "ompi_mpi_comm_world",
  float: "ompi_mpi_float",
  byte: "ompi_mpi_byte",
  sum: "ompi_mpi_op_sum",
  errorsReturn: "ompi_mpi_errors_return",
};

/**
 * Loads the library that matches a launcher.
 * @param file path of the library, instead of the usual names
 * @throws DeviceError if there is none, saying what to do
 */
export async function loadMpi({ launcher, library: kind }: Launch, file?: string): Promise<MpiLibrary> {
  const koffi = await import("koffi").then(
    (module) => module.default,
    (cause: unknown) => {
      throw new DeviceError(
        `MPI: the optional package koffi is missing (${messageOf(cause)}): run \`npm install koffi\``,
        { cause },
      );
    },
  );
  const files =
    file !== undefined ? [file] : kind === null ? [...FILES.openmpi, ...FILES.mpich] : FILES[kind];
  const failures: string[] = [];
  for (const name of files) {
    try {
      // Its plug-ins look for its symbols among the global ones of the process.
      return bind(koffi, koffi.load(name, { global: true }));
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  throw new DeviceError(
    `MPI: no library for ${launcher}, which started this process: ${failures.join("; ")}; load your cluster's MPI module ` +
      "(`module load openmpi`), install Debian's libopenmpi3 or libmpich12, or set GHOSTBATCH_MPI to its libmpi.so",
  );
}

type Koffi = typeof import("koffi")["default"];

function bind(koffi: Koffi, library: ReturnType<Koffi["load"]>): MpiLibrary {
  const text = Buffer.alloc(8192); // MPI_MAX_LIBRARY_VERSION_STRING of both
  library.func("int MPI_Get_library_version(void *, void *)")(text, Buffer.alloc(4));
  const version = textIn(text).split("\n")[0]!.replaceAll(/\s+/g, " ").trim();
  const isOpenMpi = /Open MPI/.test(version);
  const handles = isOpenMpi
    ? mapValues(OPENMPI, (symbol) => koffi.address(library.symbol(symbol, "void *")))
    : MPICH;
  const type = isOpenMpi ? "void *" : "int";
  const calls = mapValues(PROTOTYPES, (prototype) =>
    library.func(`int ${prototype.replaceAll(/\bH\b/g, type)}`),
  ) as unknown as MpiCalls;
  const errorString = library.func("int MPI_Error_string(int, void *, void *)");
  const errorText = (code: number) => {
    const words = Buffer.alloc(512);
    errorString(code, words, Buffer.alloc(4));
    return textIn(words);
  };
  return { version, ...handles, calls, errorText };
}

/** Reads a C string. */
function textIn(buffer: Buffer): string {
  return buffer.toString("latin1", 0, buffer.indexOf(0));
}

function mapValues<K extends string, V, W>(record: Record<K, V>, map: (value: V) => W): Record<K, W> {
  return Object.fromEntries(Object.entries<V>(record).map(([key, value]) => [key, map(value)])) as Record<
    K,
    W
  >;
}
