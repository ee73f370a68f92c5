// SPDX-License-Identifier: GPL-2.0-or-later
internal import CBPF
internal import CLatprobeABI
internal import Glibc
package import Host

/// The compiled programs, as bytes; a filter is put into them here, before anything is loaded.
package struct BPFObjectFile: Sendable {
  package private(set) var bytes: [UInt8]
  package let path: String

  /// Looks at `$LATPROBE_BPF`, `../lib/latprobe/` beside the executable, and `build/bpf/` above it.
  package static func find(executable: String?) throws(KernelError) -> BPFObjectFile {
    var candidates: [String] = []
    if let path = unsafe getenv("LATPROBE_BPF") { candidates.append(unsafe String(cString: path)) }
    if let executable {
      var folders = executable.split(separator: "/", omittingEmptySubsequences: true).dropLast()
      let prefix = executable.hasPrefix("/") ? "/" : ""
      candidates.append("\(prefix)\(folders.dropLast().joined(separator: "/"))/lib/latprobe/latprobe.bpf.o")
      while !folders.isEmpty {
        candidates.append("\(prefix)\(folders.joined(separator: "/"))/build/bpf/latprobe.bpf.o")
        folders = folders.dropLast()
      }
    }
    for path in candidates {
      if let bytes = readBytes(path) { return BPFObjectFile(bytes: bytes, path: path) }
    }
    throw KernelError(
      "latprobe.bpf.o not found (looked at \(candidates.prefix(3).joined(separator: ", ")), …); run 'make bpf' or "
        + "'make install', or name it in LATPROBE_BPF")
  }

  private static func readBytes(_ path: String) -> [UInt8]? {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = unsafe read(file, &chunk, chunk.count)
      if count < 0 { return nil }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
    }
  }

  /// Overwrites the slots of `lp_filter()`. In place: sizes, relocations and line information stay true.
  package mutating func splice(_ filter: Filter) throws(KernelError) {
    let body: [BPFInstruction]
    do { body = try FilterTranslation.body(of: filter) } catch { throw KernelError(error.description) }
    let marker = BPFInstruction(0xb7, immediate: Int32(LP_FILTER_MARKER)).bytes
    let slot = BPFInstruction(0x05).bytes
    let starts = stride(from: 0, to: bytes.count - 15, by: 8).filter { at in
      bytes[at..<at + 8].elementsEqual(marker) && bytes[at + 8..<at + 16].elementsEqual(slot)
    }
    guard starts.count == 1, let start = starts.first else {
      throw KernelError("\(path) has no place for a filter: it does not belong to this latprobe; run 'make bpf'")
    }
    for (index, instruction) in body.enumerated() {
      bytes.replaceSubrange(start + 8 * index..<start + 8 * index + 8, with: instruction.bytes)
    }
  }
}
