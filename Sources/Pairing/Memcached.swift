// SPDX-License-Identifier: GPL-2.0-or-later

/// A command of memcached's text protocol, meta commands included.
struct MemcachedCommand {
  enum Kind: UInt8 {
    case retrieval
    case statistics
    case other
    case meta
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

  /// - Returns: nil if the line is none.
  init?(_ line: ByteView) {
    let words = line.words(64)
    guard let verb = words.first, verb.count <= 16, let name = verb.text else { return nil }
    self.name = name
    kind = .other
    isSilent = words.count > 1 && words[words.count - 1].starts(with: "noreply")
    var size: ByteView?
    switch name {
    case "get", "gets", "gat", "gats":
      guard words.count > 1 else { return nil }
      kind = .retrieval
      isSilent = false
    case "set", "add", "replace", "append", "prepend", "cas":
      guard words.count >= 5 else { return nil }
      size = words[4]
    case "delete", "incr", "decr", "touch", "flush_all", "verbosity", "cache_memlimit", "version": break
    case "stats":
      kind = .statistics
    case "quit":
      isSilent = true
    case "mn", "mg", "ms", "md", "ma", "me":
      kind = .meta
      isSilent = false
      guard name == "mn" || words.count >= 2 else { return nil }
      if name == "ms" {
        guard words.count >= 3 else { return nil }
        size = words[2]
      }
      for flag in words.dropFirst(name == "ms" ? 3 : 2) where name != "me" {
        if flag[0] == UInt8(ascii: "q") { isQuiet = true }
        if flag[0] == UInt8(ascii: "O") { opaque = flag.bytes }
      }
    default: return nil
    }
    if let size {
      guard let bytes = size.number, bytes < 1 << 31 else { return nil }
      data = bytes + 2
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

/// memcached on a TCP connection: commands answer in order; binary ones carry an opaque number, and some of them a key.
final class MemcachedStream: OrderedDialogue {
  var requests: OrderedRequests
  private var isBinary: Bool?
  private var command: MemcachedCommand?
  private var header: MemcachedHeader?
  private var key: [UInt8] = []
  private var reply: Reply?

  /// What a line of an answer says about the command it answers.
  private enum Reply {
    case error
    case kind(MemcachedCommand.Kind)
    case end
    case meta(code: [UInt8], opaque: [UInt8])
  }

  init(_ book: Book, client: Endpoint, server: Endpoint) {
    requests = OrderedRequests(book, client: client, server: server)
  }

  func reset() { (isBinary, command, header, reply) = (nil, nil, nil, nil) }

  func step(_ side: Side, _ bytes: ByteView) -> StreamStep {
    if side == .client && isBinary == nil { isBinary = bytes[0] == 0x80 }
    if isBinary == true {
      guard bytes.count >= MemcachedHeader.size else { return .more }
      guard let header = MemcachedHeader(bytes), header.isResponse == (side == .server) else { return .malformed }
      if let told = header.toldKey, bytes.count < told.upperBound { return .more }
      self.header = header
      key = header.toldKey.map { bytes[$0].bytes } ?? []
      let size = MemcachedHeader.size + header.body
      // Statistics come as many answers; the last one has no key.
      return header.isResponse && header.opcode == 0x10 && header.keyLength > 0 ? .part(size) : .end(size)
    }
    guard let (line, next) = bytes.line(from: 0) else { return .more }
    if side == .server { return answer(line, next) }
    guard let command = MemcachedCommand(line) else { return .malformed }
    self.command = command
    return .end(next + command.data)
  }

  private func answer(_ line: ByteView, _ next: Int) -> StreamStep {
    let words = line.words(16)
    guard let first = words.first else { return .malformed }
    switch first.text {
    case "VALUE":
      guard words.count >= 4, let size = words[3].number, size < 1 << 31 else { return .malformed }
      reply = .kind(.retrieval)
      return .part(next + size + 2)
    case "STAT", "ITEM":
      reply = .kind(.statistics)
      return .part(next)
    case "END": reply = .end
    case "ERROR", "CLIENT_ERROR", "SERVER_ERROR": reply = .error
    case "STORED", "NOT_STORED", "EXISTS", "NOT_FOUND", "DELETED", "TOUCHED", "OK", "VERSION":
      reply = .kind(.other)
    case "RESET": reply = .kind(.statistics)
    case "VA", "HD", "EN", "NF", "NS", "EX", "MN", "ME":
      let isValue = first.starts(with: "VA")
      let flags = words.dropFirst(isValue ? 2 : 1)
      reply = .meta(
        code: first.bytes,
        opaque: first.starts(with: "ME") ? [] : flags.first { $0[0] == UInt8(ascii: "O") }?.bytes ?? [])
      guard isValue else { return .end(next) }
      guard words.count >= 2, let size = words[1].number, size < 1 << 31 else { return .malformed }
      return .end(next + size + 2)
    default:
      // The new value of a counter.
      guard words.count == 1, first.number != nil || first.count > 18 && first.prefix(18).number != nil else {
        return .malformed
      }
      reply = .kind(.other)
    }
    return .end(next)
  }

  func message(_ side: Side, _ message: StreamMessage) -> Bool {
    if side == .client {
      begin(message)
      return true
    }
    let fits = isBinary == true ? settleBinary(message) : settleText(message)
    return fits
  }

  private func begin(_ message: StreamMessage) {
    if let header, isBinary == true {
      var request = StreamRequest("memcached-\(header.name)", message)
      (request.code, request.tag, request.isQuiet) = (header.opcode, header.opaque + key, header.isQuiet)
      requests.append(request)
    } else if let command {
      guard !command.isSilent else { return requests.countSilent() }
      var request = StreamRequest("memcached-\(command.name)", message)
      (request.code, request.tag, request.isQuiet) = (command.kind.rawValue, command.opaque, command.isQuiet)
      requests.append(request)
    }
  }

  private func settleBinary(_ message: StreamMessage) -> Bool {
    guard let header else { return false }
    let tag = header.opaque + key
    // Errors carry no key.
    func fits(_ request: StreamRequest) -> Bool {
      request.code == header.opcode && (key.isEmpty ? request.tag.starts(with: tag) : request.tag == tag)
    }
    let isOnlyOne = requests.hasOneQuiet(tag)
    var candidates: [Int] = []
    for index in 0..<requests.count {
      if fits(requests[index]) { candidates.append(index) }
      // Answers come in order: not yet to what follows a command that is due one.
      if !candidates.isEmpty && (isOnlyOne || !requests[index].isQuiet) { break }
    }
    if candidates.isEmpty {
      requests.book.tally.unmatchedResponses += 1
      return true
    }
    return settle(candidates, message)
  }

  private func settleText(_ message: StreamMessage) -> Bool {
    guard let reply else { return false }
    var candidates: [Int] = []
    for index in 0..<requests.count {
      if answers(requests[index], reply) { candidates.append(index) }
      if !requests[index].isQuiet { break }
    }
    if candidates.isEmpty {
      requests.book.tally.unmatchedResponses += 1
      return false
    }
    return settle(candidates, message)
  }

  /// Pairs an answer with the only request that it can be to; quiet ones before that get none.
  private func settle(_ candidates: [Int], _ message: StreamMessage) -> Bool {
    guard candidates.count == 1, let only = candidates.first else {
      requests.book.tally.ambiguous += 1
      return false
    }
    let dropped = requests.dropQuiet(upTo: only)
    requests.settle(only - dropped, with: message)
    return true
  }

  private func answers(_ request: StreamRequest, _ reply: Reply) -> Bool {
    let kind = MemcachedCommand.Kind(rawValue: request.code)
    switch reply {
    case .error: return true
    case .end: return kind == .retrieval || kind == .statistics
    case .kind(let told): return kind == told || (kind == .statistics && told == .other)
    case .meta(let code, let opaque):
      guard kind == .meta, opaque == request.tag else { return false }
      let isFence = code == Array("MN".utf8)
      guard isFence == (request.name == "memcached-mn") else { return false }
      // What a quiet command keeps to itself.
      let suppressed = request.name == "memcached-mg" ? "EN" : "HD"
      return !request.isQuiet || code != Array(suppressed.utf8)
    }
  }
}
