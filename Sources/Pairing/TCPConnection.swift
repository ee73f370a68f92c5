// SPDX-License-Identifier: GPL-2.0-or-later

/// Bytes held by all connections together.
final class BufferBudget {
  var used = 0
  /// Requests that wait on all connections, and segments that are not acknowledged.
  var waiting = 0
}

private struct Directions {
  private var client: TCPDirection?
  private var server: TCPDirection?

  subscript(side: Side) -> TCPDirection? {
    get { side == .client ? client : server }
    // In place: a copy would copy the bytes held.
    _modify {
      switch side {
      case .client: yield &client
      case .server: yield &server
      }
    }
  }
}

/// Puts a TCP connection's bytes before a protocol, as long as both directions are known without a gap.
///
/// It is *in step* from its handshake on. A gap, a packet cut short or bytes that make no sense put it out of step: what
/// waits is given up and counted, and payload is passed over until it is sure which request comes first again (``resumes``).
final class TCPConnection {
  let ends: StreamEnds
  private let dialogue: any StreamDialogue
  private let book: Book
  private let limits: PairingLimits
  private let budget: BufferBudget
  private var directions = Directions()
  private var isInStep: Bool
  /// The protocol has left this connection.
  private var isOver = false
  private var lastPayload: (side: Side, time: Int64)?
  private var now: Int64 = .min
  /// This side's bytes wait until the other one has spoken.
  private var waitingSide: Side?
  /// Messages of the client in step, and the most requests that ever waited at once.
  private var requests = 0
  private var deepest = 0
  /// Its part of ``BufferBudget/waiting``.
  private var waiting = 0
  /// Segments of one side that acknowledge what was not seen yet: it may have been stamped a little later.
  private var early: [(packet: Dissected, header: Dissected.TCPHeader)] = []
  private var earlyBytes = 0

  private static let lockstepProof = 16
  private static let mostEarly = 64

  init(
    _ ends: StreamEnds, dialogue: any StreamDialogue, book: Book, limits: PairingLimits, budget: BufferBudget,
    isStart: Bool
  ) {
    self.ends = ends
    self.dialogue = dialogue
    self.book = book
    self.limits = limits
    self.budget = budget
    isInStep = isStart
  }

  deinit {
    budget.used -= buffered
    budget.waiting -= waiting
  }

  private var buffered: Int {
    (directions[.client]?.buffered ?? 0) + (directions[.server]?.buffered ?? 0) + earlyBytes
  }

  private func side(_ packet: Dissected) -> Side { packet.source == ends.client ? .client : .server }

  func take(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    guard !isOver else { return passOver(packet) }
    let before = buffered
    giveUpLate(packet.time)
    if let first = early.first, !(0..<limits.disorder).contains(span(from: first.packet.time, to: packet.time)) {
      release()
    }
    now = packet.time
    if comesEarly(packet, header) {
      hold(packet, header)
    } else {
      // Each side's own packets are in order: what is missing before this one will not come.
      if !early.isEmpty, packet.payloadLength > 0, directions[side(packet)]?.leavesHole(header.sequence) == true {
        release()
      }
      advance(packet, header)
      while let first = early.first, isDue(first.packet, first.header) { release(1) }
    }
    budget.used += buffered - before
    if budget.used > limits.buffered && buffered > 0 {
      let held = buffered
      release()
      loseStep(.evicted)
      budget.used += buffered - held
    }
  }

  /// Payload that no protocol reads.
  func passOver(_ packet: Dissected) {
    guard packet.payloadLength > 0 else { return }
    book.tally.unreadBytes += packet.payloadLength
    dialogue.unread(side(packet), packet.time)
  }

  // MARK: Segments that come before what they acknowledge

  private func isDue(_ packet: Dissected, _ header: Dissected.TCPHeader) -> Bool {
    !isInStep || directions[side(packet).other]?.missing(before: header.acknowledgment) ?? 0 == 0
  }

  private func comesEarly(_ packet: Dissected, _ header: Dissected.TCPHeader) -> Bool {
    guard isInStep, early.count < TCPConnection.mostEarly else { return false }
    // Those of one side stay in their order.
    if let first = early.first { return side(first.packet) == side(packet) }
    return header.isACK && packet.payloadLength > 0 && !isDue(packet, header)
  }

  private func hold(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    var packet = packet
    // A copy, as the payload keeps the whole packet in memory.
    packet.payload = ByteView(packet.payload.bytes)
    early.append((packet, header))
    earlyBytes += packet.payload.count
  }

  private func release(_ count: Int = .max) {
    let due = Array(early.prefix(count))
    early.removeFirst(due.count)
    for (packet, header) in due {
      earlyBytes -= packet.payload.count
      advance(packet, header)
    }
  }

  // MARK: Segments

  private func advance(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    guard !isOver else { return passOver(packet) }
    let side = side(packet)
    let sequence = header.isSYN ? header.sequence &+ 1 : header.sequence
    if directions[side] == nil { directions[side] = TCPDirection(next: sequence) }
    if header.isACK {
      let acknowledgment = header.acknowledgment
      if directions[side.other] == nil {
        directions[side.other] = TCPDirection(next: acknowledgment)
      } else if let missing = directions[side.other]?.missing(before: acknowledgment), missing > 0 {
        // The receiver has it, so it is the capture that lacks it, or has it a little later.
        if isInStep && packet.payloadLength == 0 {
          directions[side.other]?.expect(acknowledgment, packet.time)
        } else {
          loseStep(.gap)
          directions[side.other]?.forget(goingOnAt: acknowledgment)
        }
        lastPayload = (side.other, packet.time)
      }
      directions[side]?.lastACK = acknowledgment
    }
    if packet.payloadLength > 0 { takePayload(packet, header, side, sequence) }
    if header.isFIN {
      directions[side]?.close(at: sequence &+ UInt32(truncatingIfNeeded: packet.payloadLength))
    }
    if isInStep, directions[side]?.isClosed == true { closed(side) }
  }

  /// What was acknowledged some time ago and has not come will not come.
  private func giveUpLate(_ now: Int64) {
    for side in [Side.client, .server] {
      guard let awaited = directions[side]?.awaited, isInStep else { continue }
      if directions[side]?.missing(before: awaited.upTo) == 0 {
        directions[side]?.awaited = nil
      } else if !(0..<limits.disorder).contains(span(from: awaited.since, to: now)) {
        loseStep(.gap)
        directions[side]?.forget(goingOnAt: awaited.upTo)
      }
    }
  }

  private func takePayload(_ packet: Dissected, _ header: Dissected.TCPHeader, _ side: Side, _ sequence: UInt32) {
    if !isInStep, resumes(packet, header, side) {
      directions[.client]?.forget()
      directions[.server]?.forget()
      isInStep = true
    }
    lastPayload = (side, packet.time)
    let arrival = directions[side]?.take(
      sequence: sequence, payload: packet.payload, length: packet.payloadLength, time: packet.time)
    guard isInStep else {
      passOver(packet)
      directions[side]?.forget()
      return
    }
    switch arrival {
    case .inOrder(let repeated):
      if let repeated { dialogue.repeated(side, repeated) }
      read(side)
    case .repeated(let range): dialogue.repeated(side, range)
    case .waiting:
      guard let direction = directions[side] else { break }
      if direction.buffered > limits.bufferedOnDirection || direction.heldSegments > limits.heldOnDirection {
        loseStep(.gap)
      }
    case .stray: book.tally.unreadBytes += packet.payloadLength
    case .nothing, nil: break
    }
  }

  /// Whether the next request will be the only one that waits: the server spoke last, everything is acknowledged, and
  /// nothing was sent for a while. A client that has never had two requests under way need not have been quiet.
  private func resumes(_ packet: Dissected, _ header: Dissected.TCPHeader, _ side: Side) -> Bool {
    guard side == .client, let lastPayload, lastPayload.side == .server, let client = directions[.client],
      let server = directions[.server], let clientSeen = server.lastACK
    else { return false }
    guard client.isAtEnd(header.sequence), header.isACK, server.isAcknowledged(header.acknowledgment) else {
      return false
    }
    if requests >= TCPConnection.lockstepProof && deepest <= 1 { return true }
    return client.isAcknowledged(clientSeen) && span(from: lastPayload.time, to: packet.time) >= limits.quiet
  }

  // MARK: Out of step

  private enum Loss {
    case gap
    case truncated
    case malformed
    /// Answers and requests do not fit together; the protocol has counted it.
    case mismatch
    /// The connection ended before what came could be read.
    case unreadable
    case evicted
  }

  private func loseStep(_ loss: Loss) {
    guard isInStep else { return }
    isInStep = false
    waitingSide = nil
    switch loss {
    case .gap: book.tally.gaps += 1
    case .truncated: book.tally.truncated += 1
    case .malformed: book.tally.malformed += 1
    case .mismatch, .unreadable, .evicted: break
    }
    _ = cutOff()
    dialogue.forget(as: loss == .evicted ? .evicted : .abandoned, now)
    countWaiting()
    passOverAll()
  }

  private func countWaiting() {
    budget.waiting += dialogue.waiting - waiting
    waiting = dialogue.waiting
  }

  /// Of an answer that has begun in order the first byte is known, whatever becomes of the last one.
  private func cutOff() -> StreamFit {
    guard directions[.server]?.hasBegun == true, var answer = directions[.server]?.endMessage() else { return .fits }
    answer.isWhole = false
    return dialogue.cutOff(answer)
  }

  private func passOverAll() {
    for side in [Side.client, .server] {
      book.tally.unreadBytes += directions[side]?.unread ?? 0
      directions[side]?.forget()
    }
  }

  /// Packets are missing that may have been of this connection.
  func miss() {
    guard !isOver else { return }
    let before = buffered
    release()
    loseStep(.gap)
    budget.used += buffered - before
  }

  // MARK: Messages

  /// Hands the protocol what is in order.
  private func read(_ side: Side) {
    if waitingSide == side { waitingSide = nil }
    while isInStep, !isOver {
      let available = directions[side]?.available ?? 0
      let skip = directions[side]?.skip ?? 0
      if skip > 0 {
        let bytes = min(skip, available)
        directions[side]?.consume(bytes)
        directions[side]?.skip = skip - bytes
        guard bytes == skip else { return }
        if directions[side]?.skipEnds == true { endMessage(side) }
        continue
      }
      guard available > 0 else { return }
      let step = nextStep(side)
      switch step {
      case .more, .short, .wait:
        if case .wait = step {
          waitingSide = side
        } else if directions[side]?.isCut == true {
          return loseStep(.truncated)
        }
        let buffered = directions[side]?.buffered ?? 0
        if available > limits.header || buffered > limits.bufferedOnDirection { return loseStep(.malformed) }
        if case .more = step { directions[side]?.noteSearched(available) }
        return
      case .pass(let bytes): directions[side]?.consume(min(bytes, available), ofMessage: false)
      case .part(let bytes): pass(side, bytes, available, ends: false)
      case .end(let bytes): pass(side, bytes, available, ends: true)
      case .malformed: return loseStep(.malformed)
      case .leave: return leave()
      }
    }
  }

  /// Apart, so that nobody holds the bytes when they are used up: the buffer would be copied.
  private func nextStep(_ side: Side) -> StreamStep {
    guard let bytes = directions[side]?.readable, !bytes.isEmpty else { return .more }
    return dialogue.step(side, bytes)
  }

  private func pass(_ side: Side, _ bytes: Int, _ available: Int, ends: Bool) {
    directions[side]?.consume(min(bytes, available))
    if bytes > available {
      directions[side]?.skip = bytes - available
      directions[side]?.skipEnds = ends
    } else if ends {
      endMessage(side)
    }
  }

  private func endMessage(_ side: Side) {
    directions[side]?.skipEnds = false
    guard let message = directions[side]?.endMessage() else { return }
    if side == .client { requests += 1 }
    switch dialogue.message(side, message) {
    case .fits:
      countWaiting()
      deepest = max(deepest, waiting)
      if waiting > limits.pendingOnConnection || (side == .client && budget.waiting > limits.pendingOnConnections) {
        loseStep(.evicted)
      }
      if waitingSide == side.other { read(side.other) }
    case .mismatch: loseStep(.mismatch)
    case .leave: leave()
    }
  }

  private func leave() {
    dialogue.forget(as: .abandoned, now)
    countWaiting()
    isOver = true
    passOverAll()
  }

  private func closed(_ side: Side) {
    if directions[side]?.hasBegun == true, dialogue.endsAtClose(side) { endMessage(side) }
  }

  // MARK: The end

  enum Ending {
    /// The capture has ended, or the next connection has begun.
    case over
    case reset(by: Side)
    /// What came then shows that packets were missed.
    case missed
    case evicted
  }

  /// A reset that lies beyond what was seen.
  func doubtReset(by side: Side, at sequence: UInt32) { directions[side]?.reset(at: sequence) }

  /// No more packets of this connection will come.
  func end(_ ending: Ending) {
    let before = buffered
    defer { budget.used += buffered - before }
    if case .evicted = ending {
      if isInStep { _ = cutOff() }
      return dialogue.forget(as: .evicted, now)
    }
    release()
    giveUpLate(.max)
    if case .missed = ending { loseStep(.gap) }
    for side in [Side.client, .server] where directions[side]?.lacksBytes == true { loseStep(.gap) }
    guard isInStep else { return dialogue.forget(as: .abandoned, now) }
    let hasBegun = directions[.server]?.hasBegun == true
    // Something came behind the request, which may have been its answer.
    if !hasBegun, directions[.server]?.available ?? 0 > 0 { return loseStep(.unreadable) }
    guard case .fits = cutOff() else { return loseStep(.mismatch) }
    if case .reset(by: .server) = ending { return dialogue.forget(as: .refused, now) }
    dialogue.forget(as: .unanswered, now)
  }
}
