// Edits a 64-bit ELF program or library in place, so that a program can run on a C library other than the system's:
// sets its dynamic loader, and where that loader looks for libraries.
// Source: the ELF-64 object file format; ld.so(8) for the order in which folders are searched.
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";

const LITTLE_ENDIAN_64 = "7f454c460201";
const MACHINE_X86_64 = 62;
const SEGMENT = { load: 1, dynamic: 2, interpreter: 3 };
const TAG = { end: 0n, needed: 1n, strings: 5n, rpath: 15n, debug: 21n, runpath: 29n };

/**
 * The names of the libraries that a file needs, or null if it is not a 64-bit x86 ELF file with a dynamic section.
 * @param {string} path
 * @returns {string[] | null}
 */
export function neededLibraries(path) {
  return withElf(path, "r", (elf) => {
    const strings = elf.fileOffset(elf.entry(TAG.strings).value);
    return elf.entries
      .filter(({ tag }) => tag === TAG.needed)
      .map(({ value }) => elf.text(strings + Number(value)));
  });
}

/**
 * Removes a library's own search path. A library with its own path ignores that of the program that loads it.
 * @param {string} path
 */
export function removeSearchPath(path) {
  withElf(path, "r+", (elf) => {
    elf.writeEntries(elf.entries.filter(({ tag }) => tag !== TAG.rpath && tag !== TAG.runpath));
  });
}

/**
 * Makes a program start through the dynamic loader `loader`, and look in `searchPath` first for libraries,
 * including those that its libraries load.
 *
 * @param {string} path
 * @param {string} loader absolute path: the kernel opens it, and knows no $ORIGIN
 * @param {string} searchPath may begin with $ORIGIN, the program's folder; at most 27 bytes
 */
export function setLoader(path, loader, searchPath) {
  const done = withElf(path, "r+", (elf) => {
    const interpreter = elf.segments.find(({ type }) => type === SEGMENT.interpreter);
    if (!interpreter)
      throw new Error(`${path}: expected a dynamically linked program, found no loader in it`);

    // The kernel reads the loader's name by file offset, so it may be at the end of the file. That frees the
    // mapped bytes of the old name ("/lib64/ld-linux-x86-64.so.2", 28 with its terminator) for the search path: the
    // dynamic section refers to strings by their distance from the string table, wherever they are.
    const room = "/lib64/ld-linux-x86-64.so.2".length + 1;
    const folder = Buffer.from(`${searchPath}\0`);
    if (folder.length > room)
      throw new Error(`the search path ${searchPath} is longer than ${room - 1} bytes`);
    const name = Buffer.from(`${loader}\0`);
    elf.write(name, elf.size);
    elf.write(folder, elf.fileOffset(interpreter.address));
    elf.writeSegmentFile(interpreter, elf.size, name.length);

    const distance = BigInt.asUintN(64, interpreter.address - elf.entry(TAG.strings).value);
    const entries = elf.entries.filter(({ tag }) => tag !== TAG.rpath && tag !== TAG.runpath);
    // DT_RPATH, not DT_RUNPATH: only DT_RPATH also applies to libraries that the libraries load.
    const added = { tag: TAG.rpath, value: distance };
    // Linkers leave spare entries at the end; without one, only a debugger misses DT_DEBUG.
    if (entries.length + 2 > elf.room)
      entries.splice(
        entries.findIndex(({ tag }) => tag === TAG.debug),
        1,
      );
    elf.writeEntries([...entries, added]);
    return true;
  });
  if (!done) throw new Error(`${path}: expected a 64-bit x86 Linux program, found another kind of file`);
}

/**
 * @template T
 * @param {string} path
 * @param {"r" | "r+"} mode
 * @param {(elf: Elf) => T} use
 * @returns {T | null} null if the file is not such an ELF file
 */
function withElf(path, mode, use) {
  const file = openSync(path, mode);
  try {
    const elf = Elf.read(file);
    return elf === null ? null : use(elf);
  } finally {
    closeSync(file);
  }
}

class Elf {
  /**
   * @param {number} file
   * @returns {Elf | null}
   */
  static read(file) {
    const header = readAt(file, 0, 64);
    if (header.toString("hex", 0, 6) !== LITTLE_ENDIAN_64 || header.readUInt16LE(18) !== MACHINE_X86_64)
      return null;
    const elf = new Elf(file, header);
    return elf.room > 0 ? elf : null;
  }

  /**
   * @param {number} file
   * @param {Buffer} header
   */
  constructor(file, header) {
    this.file = file;
    this.size = fstatSync(file).size;

    const at = Number(header.readBigUInt64LE(32));
    const step = header.readUInt16LE(54);
    const table = readAt(file, at, step * header.readUInt16LE(56));
    this.segments = Array.from({ length: header.readUInt16LE(56) }, (_, i) => ({
      at: at + i * step,
      type: table.readUInt32LE(i * step),
      offset: table.readBigUInt64LE(i * step + 8),
      address: table.readBigUInt64LE(i * step + 16),
      bytes: table.readBigUInt64LE(i * step + 32),
    }));

    const dynamic = this.segments.find(({ type }) => type === SEGMENT.dynamic);
    this.entriesAt = Number(dynamic?.offset ?? 0);
    /** The number of entries that the dynamic section can hold, including its end. */
    this.room = Number(dynamic?.bytes ?? 0) / 16;
    const bytes = readAt(file, this.entriesAt, this.room * 16);
    /** @type {{ tag: bigint, value: bigint }[]} */
    this.entries = [];
    for (let i = 0; i < this.room && bytes.readBigInt64LE(i * 16) !== TAG.end; i++) {
      this.entries.push({ tag: bytes.readBigInt64LE(i * 16), value: bytes.readBigUInt64LE(i * 16 + 8) });
    }
  }

  /** @param {bigint} tag */
  entry(tag) {
    const found = this.entries.find((entry) => entry.tag === tag);
    if (!found) throw new Error(`a dynamic section without entry ${tag}`);
    return found;
  }

  /** @param {bigint} address */
  fileOffset(address) {
    const { load } = SEGMENT;
    const holder = this.segments.find(
      (s) => s.type === load && s.address <= address && address < s.address + s.bytes,
    );
    if (!holder) throw new Error(`address ${address} is in no segment of the file`);
    return Number(address - holder.address + holder.offset);
  }

  /** @param {number} offset */
  text(offset) {
    const bytes = readAt(this.file, offset, 256);
    return bytes.toString("latin1", 0, bytes.indexOf(0));
  }

  /**
   * @param {Buffer} bytes
   * @param {number} offset
   */
  write(bytes, offset) {
    writeSync(this.file, bytes, 0, bytes.length, offset);
  }

  /**
   * @param {{ at: number }} segment
   * @param {number} offset
   * @param {number} length
   */
  writeSegmentFile(segment, offset, length) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(offset));
    this.write(bytes, segment.at + 8);
    bytes.writeBigUInt64LE(BigInt(length));
    this.write(bytes, segment.at + 32);
  }

  /** @param {{ tag: bigint, value: bigint }[]} entries */
  writeEntries(entries) {
    const bytes = Buffer.alloc(this.room * 16);
    entries.forEach(({ tag, value }, i) => {
      bytes.writeBigInt64LE(tag, i * 16);
      bytes.writeBigUInt64LE(value, i * 16 + 8);
    });
    this.write(bytes, this.entriesAt);
  }
}

/**
 * @param {number} file
 * @param {number} offset
 * @param {number} length
 */
function readAt(file, offset, length) {
  const bytes = Buffer.alloc(length);
  readSync(file, bytes, 0, length, offset);
  return bytes;
}
