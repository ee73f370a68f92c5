// SPDX-License-Identifier: GPL-2.0-or-later

/// What one end of a TCP connection has sent and not seen acknowledged.
struct TCPOutstanding {
  fileprivate struct Segment {
    var start: UInt32
    var end: UInt32
    var time: Int64
    var isRepeated = false
  }
  /// Behind the last byte sent so far.
  fileprivate var sent: UInt32?
  /// The last acknowledgment, and when it came.
  fileprivate var acknowledged: (upTo: UInt32, time: Int64)?
  /// Used up as far as `head`.
  fileprivate var segments: [Segment] = []
  fileprivate var head = 0

  fileprivate var count: Int { segments.count - head }

  fileprivate mutating func dropFirst(_ count: Int) {
    head += count
    guard head == segments.count || head > 64 && head > segments.count / 2 else { return }
    segments.removeFirst(head)
    head = 0
  }

  /// The first that ends behind a number.
  /// - Complexity: O(log of their count).
  fileprivate func first(endingBehind number: UInt32) -> Int {
    var (low, high) = (head, segments.count)
    while low < high {
      let middle = (low + high) / 2
      if isAfter(segments[middle].end, number) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

private func isAfter(_ a: UInt32, _ b: UInt32) -> Bool { Int32(bitPattern: a &- b) > 0 }

/// From each TCP segment with data to the first acknowledgment of its last byte, in both directions.
final class TCPAcknowledgment {
  private let book: Book
  private let name: PairName
  private let ports: Set<UInt16>
  private let limits: PairingLimits
  private let budget: BufferBudget

  /// - Parameter ports: of either end; empty: any.
  init(_ book: Book, ports: [UInt16], limits: PairingLimits, budget: BufferBudget) {
    self.book = book
    name = book.named("tcp-ack")
    self.ports = Set(ports)
    self.limits = limits
    self.budget = budget
  }

  func watches(_ source: Endpoint, _ destination: Endpoint) -> Bool {
    ports.isEmpty || ports.contains(source.port) || ports.contains(destination.port)
  }

  /// - Parameters:
  ///   - sent: of the end that the packet comes from.
  ///   - acknowledged: of the other one.
  func take(
    _ packet: Dissected, _ header: Dissected.TCPHeader, sent: inout TCPOutstanding,
    acknowledged: inout TCPOutstanding
  ) {
    if header.isACK && !header.isRST {
      acknowledge(&acknowledged, header.acknowledgment, packet.time, to: packet.source, from: packet.destination)
    }
    guard packet.payloadLength > 0 else { return }
    let start = header.isSYN ? header.sequence &+ 1 : header.sequence
    send(&sent, start, start &+ UInt32(truncatingIfNeeded: packet.payloadLength), packet)
  }

  private func send(_ outstanding: inout TCPOutstanding, _ start: UInt32, _ end: UInt32, _ packet: Dissected) {
    guard isAfter(end, outstanding.sent ?? start) else {
      // One byte before the end keeps a connection alive.
      guard !(end &- start == 1 && end == outstanding.sent) else { return }
      var index = outstanding.first(endingBehind: start)
      while index < outstanding.segments.count, isAfter(end, outstanding.segments[index].start) {
        outstanding.segments[index].isRepeated = true
        index += 1
      }
      return book.count(name) { $0.repeatedRequests += 1 }
    }
    if end &- start == 1, outstanding.sent == nil, outstanding.acknowledged?.upTo == end { return }
    outstanding.sent = end
    book.count(name) { $0.requests += 1 }
    let segment = TCPOutstanding.Segment(start: start, end: end, time: packet.time)
    // Its acknowledgment was stamped first.
    if let acknowledged = outstanding.acknowledged, !isAfter(end, acknowledged.upTo) {
      return settle(segment, acknowledged.time, from: packet.source, to: packet.destination)
    }
    if outstanding.count >= limits.pendingOnConnection || budget.waiting >= limits.pendingOnConnections {
      book.lose(name, .evicted)
      guard outstanding.count > 0 else { return }
      outstanding.dropFirst(1)
      budget.waiting -= 1
    }
    outstanding.segments.append(segment)
    budget.waiting += 1
  }

  private func acknowledge(
    _ outstanding: inout TCPOutstanding, _ upTo: UInt32, _ time: Int64, to: Endpoint, from: Endpoint
  ) {
    if let earlier = outstanding.acknowledged, !isAfter(upTo, earlier.upTo) { return }
    outstanding.acknowledged = (upTo, time)
    let end = outstanding.first(endingBehind: upTo)
    for segment in outstanding.segments[outstanding.head..<end] { settle(segment, time, from: from, to: to) }
    budget.waiting -= end - outstanding.head
    outstanding.dropFirst(end - outstanding.head)
  }

  private func settle(_ segment: TCPOutstanding.Segment, _ time: Int64, from: Endpoint, to: Endpoint) {
    book.settle(
      Pair(
        name: name.name, start: segment.time, end: time, endLast: time, label: .number("up to sequence", segment.end),
        retransmitted: segment.isRepeated, client: from, server: to), of: name)
  }

  func end(_ outstanding: inout TCPOutstanding, as fate: Fate) {
    if outstanding.count > 0 { book.lose(name, fate, outstanding.count) }
    budget.waiting -= outstanding.count
    outstanding = TCPOutstanding()
  }
}
