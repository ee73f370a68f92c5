// SPDX-License-Identifier: GPL-2.0-or-later

/// memcached on a TCP connection: commands answer in order; binary ones carry an opaque number, and some of them a key.
final class MemcachedStream: OrderedDialogue {
  var requests: OrderedRequests
  private var isBinary: Bool?
  private var command: MemcachedCommand?
  private var binary: (client: Binary?, server: Binary?)
  private var reply: Reply?

  private struct Binary {
    var header: MemcachedHeader
    /// Where it tells commands apart.
    var key: [UInt8]
    var tag: [UInt8] { header.opaque + key }
  }
  /// What a line of an answer says about the command it answers.
  private enum Reply {
    case error
    case kind(MemcachedCommand.Kind)
    case end
    case meta(code: [UInt8], opaque: [UInt8])
  }

  /// Requests that are passed over in search of the one that an answer is to: servers answer in order.
  private static let mostPassedOver = 64

  init(_ book: Book, _ ends: StreamEnds) { requests = OrderedRequests(book, ends) }

  func reset() { (isBinary, command, binary, reply) = (nil, nil, (nil, nil), nil) }

  func step(_ side: Side, _ bytes: ByteView) -> StreamStep {
    if side == .client && isBinary == nil { isBinary = bytes[0] == 0x80 }
    if isBinary == true {
      guard bytes.count >= MemcachedHeader.size else { return .more }
      guard let header = MemcachedHeader(bytes), header.isResponse == (side == .server) else { return .malformed }
      if let told = header.toldKey, bytes.count < told.upperBound { return .more }
      let read = Binary(header: header, key: header.toldKey.map { bytes[$0].bytes } ?? [])
      if side == .client { binary.client = read } else { binary.server = read }
      let size = MemcachedHeader.size + header.body
      // Statistics come as many answers; the last one has no key.
      return header.isResponse && header.opcode == 0x10 && header.keyLength > 0 ? .part(size) : .end(size)
    }
    guard let (line, next) = bytes.line(from: 0) else { return .more }
    if side == .server { return answer(line, next) }
    guard let command = MemcachedCommand(line) else { return .malformed }
    self.command = command
    return command.kind == .watch ? .leave : .end(next + command.data)
  }

  private func answer(_ line: ByteView, _ next: Int) -> StreamStep {
    let words = line.words(16)
    guard let first = words.first else { return .malformed }
    switch first.text {
    case "VALUE":
      guard words.count >= 4, let size = words[3].number, size < 1 << 31 else { return .malformed }
      reply = .kind(.retrieval)
      return .part(next + size + 2)
    case "STAT", "ITEM", "PREFIX":
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
      if first.starts(with: "key=") {
        reply = .kind(.statistics)
        return .part(next)
      }
      // The new value of a counter; BUSY, BADCLASS, NOSPARE and the like.
      guard first.isDigits || first.isCapitals else { return .malformed }
      reply = .kind(.other)
    }
    return .end(next)
  }

  func message(_ side: Side, _ message: StreamMessage) -> StreamFit {
    if side == .server { return isBinary == true ? settleBinary(message) : settleText(message) }
    if let read = binary.client, isBinary == true {
      let header = read.header
      var request = StreamRequest(requests.book.named("memcached-\(header.name)"), message)
      (request.code, request.tag, request.isQuiet) = (header.opcode, read.tag, header.isQuiet)
      requests.append(request)
    } else if let command {
      let name = requests.book.named("memcached-\(command.name)")
      guard !command.isSilent else {
        requests.countSilent(name)
        return .fits
      }
      var request = StreamRequest(name, message)
      (request.code, request.tag, request.isQuiet) = (command.kind.rawValue, command.opaque, command.isQuiet)
      requests.append(request)
    }
    return .fits
  }

  private func settleBinary(_ message: StreamMessage) -> StreamFit {
    guard let header = binary.server?.header, let tag = binary.server?.tag else { return .mismatch }
    // Errors carry no key.
    let isError = header.keyLength == 0 && (header.opcode == 0x0d || header.opcode == 0x24)
    guard isError || requests.has(tag) else {
      requests.book.tally.unmatchedResponses += 1
      return .fits
    }
    let isOnlyOne = requests.hasOneQuiet(tag)
    var candidates: [Int] = []
    var passedOver = (all: 0, loud: 0)
    for index in 0..<requests.count where candidates.count < 2 {
      let request = requests[index]
      if request.code == header.opcode, isError ? request.tag.starts(with: tag) : request.tag == tag {
        candidates.append(index)
      } else {
        passedOver.all += 1
        if !request.isQuiet { passedOver.loud += 1 }
      }
      // Answers come in order: not yet to what follows a command that is due one.
      if !candidates.isEmpty && (isOnlyOne || !request.isQuiet) { break }
      if passedOver.loud > MemcachedStream.mostPassedOver { break }
    }
    guard candidates.isEmpty else { return settle(candidates, message) }
    requests.book.tally.unmatchedResponses += 1
    // Not to be looked through again and again.
    return passedOver.all > MemcachedStream.mostPassedOver ? .mismatch : .fits
  }

  private func settleText(_ message: StreamMessage) -> StreamFit {
    guard let reply else { return .mismatch }
    var isOnlyOne = false
    if case .meta(_, let opaque) = reply { isOnlyOne = requests.hasOneQuiet(opaque) }
    var candidates: [Int] = []
    for index in 0..<requests.count where candidates.count < 2 {
      let request = requests[index]
      if answers(request, reply) { candidates.append(index) }
      if !request.isQuiet || (isOnlyOne && !candidates.isEmpty) { break }
    }
    guard candidates.isEmpty else { return settle(candidates, message) }
    requests.book.tally.unmatchedResponses += 1
    return .mismatch
  }

  /// Pairs an answer with the only request that it can be to; quiet ones before that get none.
  private func settle(_ candidates: [Int], _ message: StreamMessage) -> StreamFit {
    guard candidates.count == 1, let only = candidates.first else {
      requests.book.count(requests[candidates[0]].name) { $0.ambiguous += 1 }
      return .mismatch
    }
    let dropped = requests.dropQuiet(upTo: only)
    requests.settle(only - dropped, with: message)
    return .fits
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
      guard isFence == (request.name.name == "memcached-mn") else { return false }
      // What a quiet command keeps to itself.
      let suppressed = request.name.name == "memcached-mg" ? "EN" : "HD"
      return !request.isQuiet || code != Array(suppressed.utf8)
    }
  }
}
