// SPDX-License-Identifier: GPL-2.0-or-later

/// The handshake of TCP connections: SYN to SYN/ACK, and SYN/ACK to the client's ACK.
final class TCPHandshake: DatagramDialogue {
  private var opening: KeyedExchanges
  private var confirming: KeyedExchanges
  private let ports: Set<UInt16>

  /// - Parameter ports: of servers; empty: any.
  init(_ book: Book, ports: [UInt16], limits: PairingLimits) {
    opening = KeyedExchanges(book, limit: limits.pending)
    confirming = KeyedExchanges(book, limit: limits.pending)
    self.ports = Set(ports)
  }

  func take(_ packet: Dissected, isRequest: Bool) {
    guard case .tcp(let header) = packet.transport else { return }
    let isFromServer = header.isSYN && header.isACK
    let (client, server) = isFromServer ? (packet.destination, packet.source) : (packet.source, packet.destination)
    guard ports.isEmpty || ports.contains(server.port) else { return }
    func key(_ sequence: UInt32) -> ExchangeKey {
      let bytes = [24, 16, 8, 0].map { (shift: UInt32) in UInt8(truncatingIfNeeded: sequence >> shift) }
      return ExchangeKey(client: client, server: server, match: bytes)
    }
    if isFromServer {
      let answered = key(header.acknowledgment &- 1)
      let again = key(header.sequence)
      // A further SYN/ACK answers nothing anew.
      if !confirming.isWaiting(again) { opening.response(answered, time: packet.time, last: packet.time) }
      confirming.request(again, name: "tcp-synack-ack", label: .number("sequence", header.sequence), time: packet.time)
    } else if header.isSYN {
      opening.request(
        key(header.sequence), name: "tcp-syn-synack", label: .number("sequence", header.sequence), time: packet.time)
    } else if header.isACK && !header.isRST {
      let answered = key(header.acknowledgment &- 1)
      if confirming.isWaiting(answered) { confirming.response(answered, time: packet.time, last: packet.time) }
    }
  }

  func finish() {
    opening.finish()
    confirming.finish()
  }
}

/// From each TCP segment with data to the first acknowledgment of its last byte, in both directions.
final class TCPAcknowledgment: DatagramDialogue {
  private struct Segment {
    var end: UInt32
    var time: Int64
    var isRepeated = false
  }
  private struct Outstanding {
    /// Behind the last byte sent so far.
    var sent: UInt32
    var segments: [Segment] = []
  }
  private struct Way: Hashable {
    var from: Endpoint
    var to: Endpoint
  }
  private let book: Book
  private let ports: Set<UInt16>
  private let mostSegments: Int
  private var ways: BoundedTable<Way, Outstanding>

  /// - Parameter ports: of either end; empty: any.
  init(_ book: Book, ports: [UInt16], limits: PairingLimits) {
    self.book = book
    self.ports = Set(ports)
    mostSegments = limits.pendingOnConnection
    ways = BoundedTable(limit: limits.connections)
  }

  func take(_ packet: Dissected, isRequest: Bool) {
    guard case .tcp(let header) = packet.transport else { return }
    guard ports.isEmpty || ports.contains(packet.source.port) || ports.contains(packet.destination.port) else { return }
    let way = Way(from: packet.source, to: packet.destination)
    if header.isSYN, let old = ways.remove(way) { book.tally.unanswered += old.segments.count }
    if header.isACK { acknowledge(Way(from: way.to, to: way.from), header.acknowledgment, packet.time) }
    if packet.payloadLength > 0 {
      let start = header.isSYN ? header.sequence &+ 1 : header.sequence
      send(way, start, start &+ UInt32(truncatingIfNeeded: packet.payloadLength), packet.time)
    }
  }

  private func send(_ way: Way, _ start: UInt32, _ end: UInt32, _ time: Int64) {
    if ways[way] == nil {
      if let evicted = ways.insert(Outstanding(sent: start), for: way) {
        book.tally.evicted += evicted.segments.count
      }
    } else {
      ways.touch(way)
    }
    ways.update(way) { outstanding in
      guard isAfter(end, outstanding.sent) else {
        // One byte before the end keeps a connection alive.
        guard !(end &- start == 1 && end == outstanding.sent) else { return }
        for index in outstanding.segments.indices where isAfter(outstanding.segments[index].end, start) {
          outstanding.segments[index].isRepeated = true
        }
        book.tally.repeatedRequests += 1
        return
      }
      outstanding.sent = end
      book.tally.requests += 1
      if outstanding.segments.count == mostSegments {
        outstanding.segments.removeFirst()
        book.tally.evicted += 1
      }
      outstanding.segments.append(Segment(end: end, time: time))
    }
  }

  private func acknowledge(_ way: Way, _ upTo: UInt32, _ time: Int64) {
    ways.update(way) { outstanding in
      let count = outstanding.segments.firstIndex { isAfter($0.end, upTo) } ?? outstanding.segments.count
      for segment in outstanding.segments.prefix(count) {
        book.settle(
          Pair(
            name: "tcp-ack", start: segment.time, end: time, endLast: time,
            label: .number("up to sequence", segment.end),
            retransmitted: segment.isRepeated, client: way.from, server: way.to))
      }
      outstanding.segments.removeFirst(count)
    }
  }

  private func isAfter(_ a: UInt32, _ b: UInt32) -> Bool { Int32(bitPattern: a &- b) > 0 }

  func finish() { for outstanding in ways.removeAll() { book.tally.unanswered += outstanding.segments.count } }
}
