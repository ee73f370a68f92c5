// SPDX-License-Identifier: GPL-2.0-or-later

/// Bytes held by all connections together.
final class BufferBudget {
  var used = 0
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
  let client: Endpoint
  let server: Endpoint
  private let dialogue: any StreamDialogue
  private let book: Book
  private let limits: PairingLimits
  private let budget: BufferBudget
  private var directions = Directions()
  private var isInStep: Bool
  /// The protocol has left this connection.
  private var isOver = false
  private var lastPayload: (side: Side, time: Int64)?
  private var synSequence: UInt32?
  /// Messages of the client in step, and the most requests that ever waited at once.
  private var requests = 0
  private var deepest = 0

  private static let lockstepProof = 16

  init(
    client: Endpoint, server: Endpoint, dialogue: any StreamDialogue, book: Book, limits: PairingLimits,
    budget: BufferBudget, isStart: Bool
  ) {
    self.client = client
    self.server = server
    self.dialogue = dialogue
    self.book = book
    self.limits = limits
    self.budget = budget
    isInStep = isStart
  }

  deinit { budget.used -= buffered }

  private var buffered: Int { (directions[.client]?.buffered ?? 0) + (directions[.server]?.buffered ?? 0) }

  /// Whether this SYN begins another connection between the same endpoints.
  func isReplaced(by header: Dissected.TCPHeader) -> Bool {
    header.isSYN && !header.isACK && synSequence != header.sequence
  }

  func take(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    guard !isOver else {
      book.tally.unreadBytes += packet.payloadLength
      return
    }
    let side: Side = packet.source == client ? .client : .server
    let before = buffered
    advance(packet, header, side)
    budget.used += buffered - before
    if budget.used > limits.buffered && buffered > 0 {
      let held = buffered
      loseStep(.evicted)
      budget.used -= held
    }
  }

  private func advance(_ packet: Dissected, _ header: Dissected.TCPHeader, _ side: Side) {
    var sequence = header.sequence
    if header.isSYN {
      sequence = sequence &+ 1
      if side == .client { synSequence = header.sequence }
    }
    if directions[side] == nil { directions[side] = TCPDirection(next: sequence) }
    giveUpLate(packet.time)
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
      book.tally.unreadBytes += packet.payloadLength
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
    case .stray, .nothing, nil: break
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

  private enum Loss {
    case gap
    case truncated
    case malformed
    /// Answers and requests do not fit together; the protocol has counted it.
    case mismatch
    case evicted
  }

  private func loseStep(_ loss: Loss) {
    guard isInStep else { return }
    isInStep = false
    switch loss {
    case .gap: book.tally.gaps += 1
    case .truncated: book.tally.truncated += 1
    case .malformed: book.tally.malformed += 1
    case .mismatch, .evicted: break
    }
    let lost = dialogue.forget()
    if loss == .evicted { book.tally.evicted += lost } else { book.tally.abandoned += lost }
    passOverAll()
  }

  private func passOverAll() {
    for side in [Side.client, .server] {
      book.tally.unreadBytes += directions[side]?.unread ?? 0
      directions[side]?.forget()
    }
  }

  /// Hands the protocol what is in order.
  private func read(_ side: Side) {
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
      switch nextStep(side) {
      case .more:
        if directions[side]?.isCut == true { return loseStep(.truncated) }
        if available > limits.header || directions[side]?.isShredded == true { return loseStep(.malformed) }
        return
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
    guard dialogue.message(side, message) else { return loseStep(.mismatch) }
    deepest = max(deepest, dialogue.waiting)
    if dialogue.waiting > limits.pendingOnConnection { loseStep(.evicted) }
  }

  /// Packets are missing that may have been of this connection.
  func miss() {
    guard !isOver else { return }
    let before = buffered
    loseStep(.gap)
    budget.used += buffered - before
  }

  private func leave() {
    book.tally.abandoned += dialogue.forget()
    isOver = true
    passOverAll()
  }

  private func closed(_ side: Side) {
    if directions[side]?.hasBegun == true, dialogue.endsAtClose(side) { endMessage(side) }
  }

  /// No more packets of this connection will come.
  func end(evicted: Bool) {
    let before = buffered
    defer { budget.used += buffered - before }
    giveUpLate(.max)
    for side in [Side.client, .server] where isInStep && directions[side]?.hasHeld == true { loseStep(.gap) }
    if isInStep, directions[.server]?.hasBegun == true, var answer = directions[.server]?.endMessage() {
      answer.isWhole = false
      dialogue.cutOff(answer)
    }
    let lost = dialogue.forget()
    if evicted { book.tally.evicted += lost } else { book.tally.unanswered += lost }
  }
}
