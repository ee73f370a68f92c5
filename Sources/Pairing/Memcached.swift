// SPDX-License-Identifier: GPL-2.0-or-later

/// A command of memcached's text protocol, meta commands included.
struct MemcachedCommand {
  enum Kind: UInt8 {
    case retrieval
    case statistics
    case other
    case meta
    /// From here on the server speaks without being asked.
    case watch
  }
  var name: String
  var kind: Kind
  /// Due no answer, whatever happens.
  var isSilent = false
  /// A meta command that only answers to what is unusual.
  var isQuiet = false
  var opaque: [UInt8] = []
  /// Bytes of data behind the line, with their line end.
  var data = 0

  /// Where `noreply` may stand, at the earliest: it is the last word, and never the key (memcached's proto_text.c).
  private static func placeOfNoReply(_ verb: String) -> Int? {
    switch verb {
    case "set", "add", "replace", "append", "prepend": return 5
    case "cas": return 6
    case "incr", "decr", "touch": return 3
    case "delete": return 2
    case "flush_all", "verbosity", "cache_memlimit": return 1
    default: return nil
    }
  }

  /// A line that the server does not understand is a command, too: its answer is ERROR or CLIENT_ERROR.
  ///
  /// - Returns: nil if the line does not look like a command.
  init?(_ line: ByteView) {
    let words = line.words(64)
    guard let first = words.first, first.count <= 24, first.isCommand, let verb = first.text else { return nil }
    kind = .other
    name = verb
    if let place = MemcachedCommand.placeOfNoReply(verb), words.count > place, let last = words.last {
      isSilent = last.count == 7 && last.starts(with: "noreply")
    }
    switch verb {
    case "get", "gets", "gat", "gats": kind = words.count > 1 ? .retrieval : .other
    case "set", "add", "replace", "append", "prepend", "cas":
      // Without a size that makes sense the server reads no data.
      if words.count >= 5, let bytes = words[4].number, bytes < 1 << 31 { data = bytes + 2 }
    case "delete", "incr", "decr", "touch", "flush_all", "verbosity", "cache_memlimit", "version", "slabs", "lru":
      break
    // The server ends.
    case "shutdown": isQuiet = true
    case "lru_crawler": if words.count > 1, words[1].starts(with: "metadump") { kind = .statistics }
    case "stats": kind = .statistics
    case "watch": kind = .watch
    case "quit": isSilent = true
    case "mn", "mg", "ms", "md", "ma", "me":
      guard verb == "mn" || words.count >= 2 else { break }
      kind = .meta
      if verb == "ms" {
        guard words.count >= 3, let bytes = words[2].number, bytes < 1 << 31 else {
          kind = .other
          break
        }
        data = bytes + 2
      }
      for flag in words.dropFirst(verb == "ms" ? 3 : 2) where verb != "me" {
        if flag[0] == UInt8(ascii: "q") { isQuiet = true }
        if flag[0] == UInt8(ascii: "O") { opaque = flag.bytes }
      }
    default: name = "other"
    }
  }
}

/// Requests and answers of memcached's binary protocol.
struct MemcachedHeader {
  static let size = 24
  var isResponse: Bool
  var opcode: UInt8
  var extrasLength: Int
  var keyLength: Int
  /// Behind the header.
  var body: Int
  var opaque: [UInt8]

  init?(_ bytes: ByteView) {
    guard bytes.count >= MemcachedHeader.size, bytes[0] == 0x80 || bytes[0] == 0x81 else { return nil }
    isResponse = bytes[0] == 0x81
    opcode = bytes[1]
    extrasLength = Int(bytes[4])
    keyLength = Int(bytes.u16(2))
    body = Int(bytes.u32(8))
    opaque = bytes[12..<16].bytes
    guard body >= keyLength + extrasLength, body < 1 << 31 else { return nil }
  }

  private static let names = [
    "get", "set", "add", "replace", "delete", "increment", "decrement", "quit", "flush", "get", "noop", "version",
    "get", "get", "append", "prepend", "stat", "set", "add", "replace", "delete", "increment", "decrement", "quit",
    "flush", "append", "prepend", "verbosity", "touch", "gat", "gat",
  ]
  private static let quiet: Set<UInt8> = [
    0x09, 0x0d, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1e, 0x24,
  ]

  var name: String {
    switch opcode {
    case 0x20...0x22: return "sasl"
    case 0x23, 0x24: return "gat"
    default: return Int(opcode) < MemcachedHeader.names.count ? MemcachedHeader.names[Int(opcode)] : "other"
    }
  }
  var isQuiet: Bool { MemcachedHeader.quiet.contains(opcode) }

  /// The key of quiet commands whose answers carry it (GETKQ, GATKQ): clients may give all of them one opaque.
  var toldKey: Range<Int>? {
    guard opcode == 0x0d || opcode == 0x24, keyLength > 0 else { return nil }
    return MemcachedHeader.size + extrasLength..<MemcachedHeader.size + extrasLength + keyLength
  }
}
