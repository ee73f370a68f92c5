// SPDX-License-Identifier: GPL-2.0-or-later

/// Which segments between two endpoints belong to one TCP connection, and which of them the receiver accepts
/// (RFC 9293, 3.10.7; RFC 5961).
struct TCPTracker {
  enum Verdict {
    case accepted
    /// It belongs to another connection, which is not known to be there: only what comes next can show it.
    case doubtful
    /// It begins another connection.
    case begins
    /// The end of the connection.
    case reset
    /// A reset beyond what was seen: bytes before it may be missing, or nobody accepts it.
    case doubtfulReset
    case ignored
  }
  /// What one end has sent.
  private struct Way {
    /// Of its SYN.
    var start: UInt32?
    /// The first number that was seen.
    var lowest: UInt32?
    /// Behind all that it sent; SYN and FIN count.
    var next: UInt32?
    /// Behind its FIN.
    var end: UInt32?
    /// The last acknowledgment.
    var acknowledged: UInt32?
  }
  /// No window reaches as far.
  static let farthest = 1 << 26

  private var ways = (Way(), Way())

  private subscript(isFirst: Bool) -> Way {
    get { isFirst ? ways.0 : ways.1 }
    set { if isFirst { ways.0 = newValue } else { ways.1 = newValue } }
  }

  /// Takes a segment into account that is accepted.
  /// - Parameters:
  ///   - isFirst: which end it comes from.
  ///   - length: of its payload.
  mutating func judge(_ header: Dissected.TCPHeader, isFirst: Bool, length: Int) -> Verdict {
    let (from, to) = (self[isFirst], self[!isFirst])
    if header.isRST { return reset(header, from, to) }
    if header.isSYN, let verdict = opening(header, from, to, length) { return verdict }
    if let next = from.next, !header.isSYN {
      let isFar = abs(TCPTracker.distance(next, header.sequence)) >= TCPTracker.farthest
      if isClosed {
        guard length > 0, isFar || !isOld(header, from, length) else { return isFar ? .ignored : .accepted }
        return .begins
      }
      if isFar { return length > 0 ? .doubtful : .ignored }
    }
    accept(header, isFirst, length)
    return .accepted
  }

  /// Whether a segment shows that another one, which was doubtful, was taken by its receiver, or gone on from.
  static func confirms(
    _ header: Dissected.TCPHeader, isSameWay: Bool, _ doubtful: Dissected.TCPHeader, length: Int
  ) -> Bool {
    let end = doubtful.sequence &+ UInt32(truncatingIfNeeded: length + (doubtful.isSYN ? 1 : 0))
    if isSameWay { return !header.isSYN && header.sequence == end }
    guard header.isACK, !header.isRST else { return false }
    let taken = distance(doubtful.sequence, header.acknowledgment)
    return taken > 0 && taken <= distance(doubtful.sequence, end)
  }

  private static func distance(_ from: UInt32, _ to: UInt32) -> Int { Int(Int32(bitPattern: to &- from)) }

  private mutating func accept(_ header: Dissected.TCPHeader, _ isFirst: Bool, _ length: Int) {
    var way = self[isFirst]
    if header.isSYN { way.start = header.sequence }
    if way.lowest == nil { way.lowest = header.sequence }
    let end =
      header.sequence &+ UInt32(truncatingIfNeeded: length + (header.isSYN ? 1 : 0) + (header.isFIN ? 1 : 0))
    if header.isFIN { way.end = end }
    if way.next.map({ TCPTracker.distance($0, end) > 0 }) ?? true { way.next = end }
    if header.isACK, way.acknowledged.map({ TCPTracker.distance($0, header.acknowledgment) > 0 }) ?? true {
      way.acknowledged = header.acknowledgment
    }
    self[isFirst] = way
  }

  /// nil: a SYN of this connection, which may be a further copy.
  private func opening(_ header: Dissected.TCPHeader, _ from: Way, _ to: Way, _ length: Int) -> Verdict? {
    if from.next == nil && to.next == nil { return nil }
    if isClosed { return .begins }
    if let start = from.start {
      guard start != header.sequence else { return nil }
    } else if from.next == nil {
      // The other end spoke first: the answer to its SYN, or a SYN whose answer was stamped before it.
      if header.isACK {
        if let start = to.start ?? to.lowest, let next = to.next,
          TCPTracker.distance(start, header.acknowledgment) > 0
            && TCPTracker.distance(header.acknowledgment, next) >= 0
        {
          return nil
        }
      } else if to.start != nil,
        to.acknowledged.map({ TCPTracker.isTaken(header.sequence, length + 1, by: $0) }) ?? true
      {
        return nil
      }
    } else if !header.isACK, to.start == nil, to.next == nil, from.lowest == header.sequence &+ 1 {
      // What followed the SYN was stamped before it.
      return nil
    }
    return .doubtful
  }

  private static func isTaken(_ sequence: UInt32, _ length: Int, by acknowledgment: UInt32) -> Bool {
    let taken = distance(sequence, acknowledgment)
    return taken > 0 && taken <= length
  }

  private func reset(_ header: Dissected.TCPHeader, _ from: Way, _ to: Way) -> Verdict {
    if from.next == nil, let start = to.start, let next = to.next {
      // The answer to a SYN: it acknowledges it.
      let taken = TCPTracker.distance(start, header.acknowledgment)
      if header.isACK, taken > 0, taken <= TCPTracker.distance(start, next) { return .reset }
      guard let acknowledged = to.acknowledged else { return .ignored }
      return header.sequence == acknowledged ? .reset : .ignored
    }
    if header.sequence == from.next || header.sequence == to.acknowledged { return .reset }
    guard let next = from.next ?? to.acknowledged else { return .reset }
    // One that has sent its FIN may leave its number out.
    if let end = from.end, header.sequence == end &- 1 { return .reset }
    let ahead = TCPTracker.distance(next, header.sequence)
    return ahead > 0 && ahead < TCPTracker.farthest ? .doubtfulReset : .ignored
  }

  /// Both ends have closed, and know it of each other.
  private var isClosed: Bool {
    guard let first = ways.0.end, let second = ways.1.end, let secondKnows = ways.1.acknowledged,
      let firstKnows = ways.0.acknowledged
    else { return false }
    return TCPTracker.distance(first, secondKnows) >= 0 && TCPTracker.distance(second, firstKnows) >= 0
  }

  /// Whether all of its bytes were sent before.
  private func isOld(_ header: Dissected.TCPHeader, _ from: Way, _ length: Int) -> Bool {
    guard let lowest = from.lowest, let next = from.next else { return false }
    let end = header.sequence &+ UInt32(truncatingIfNeeded: length)
    return TCPTracker.distance(lowest, header.sequence) >= 0 && TCPTracker.distance(end, next) >= 0
  }
}
