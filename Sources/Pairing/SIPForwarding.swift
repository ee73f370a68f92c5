// SPDX-License-Identifier: GPL-2.0-or-later

/// SIP forward delays: a message that enters a station and the same message (Call-ID, CSeq, From's tag, and the status of an
/// answer) that leaves it. 100 Trying never crosses a station and is left out.
///
/// Both sides of a call number their requests on their own (RFC 3261, 12.2.1.1); From's tag tells whose a request is.
final class SIPForwarding: SIPDialogue {
  private struct Visit {
    var hop: SIPHop
    /// The ends of the leg, as stations.
    var leg: (from: Endpoint, to: Endpoint)
    /// Somebody saw it enter the station that it comes from.
    var hasEntered = false
    var isRepeated = false
    var hasLeft = false
    /// It is not to leave: an answer, at the station where its request began.
    var isAtEnd = false
  }
  private struct Message {
    var name: PairName
    /// Of a request: its own key; of an answer: that of its request.
    var transaction: [UInt8]
    var time: Int64
    var visits: [Visit] = []
  }
  /// A station that has sent a final answer to a request.
  private struct Final: Hashable {
    var transaction: [UInt8]
    var station: Endpoint
  }
  let book: Book
  private var messages: BoundedTable<[UInt8], Message>
  /// Of all messages.
  private var visits = 0
  private var finals: BoundedTable<Final, Bool>
  private var unread: UnreadAnswers<Endpoint>
  /// Addresses of one station stand for the first of them.
  private let stations: [IPAddress: IPAddress]
  /// Stations that have forwarded something.
  private var forwarders: Set<Endpoint> = []
  private let limits: PairingLimits
  /// Timer B and F of RFC 3261 give up after 32 s; what comes later is another message.
  private static let timeout: Int64 = 64_000_000_000
  /// A message with more visits goes round in circles.
  private static let mostVisits = 32

  init(_ book: Book, stations: [[IPAddress]], limits: PairingLimits) {
    self.book = book
    self.limits = limits
    messages = BoundedTable(limit: limits.pending)
    finals = BoundedTable(limit: limits.pending)
    unread = UnreadAnswers(limit: limits.pending)
    var names: [IPAddress: IPAddress] = [:]
    for station in stations { for address in station { names[address] = station[0] } }
    self.stations = names
  }

  private func station(_ end: Endpoint) -> Endpoint {
    Endpoint(address: stations[end.address] ?? end.address, port: end.port)
  }

  func take(_ message: SIPMessage, _ hop: SIPHop) {
    while let old = messages.popOldest(where: { span(from: $0.time, to: hop.last) > SIPForwarding.timeout }) {
      close(old)
    }
    guard message.status != 100 else { return }
    guard let fromTag = message.fromTag else {
      book.tally.truncated += 1
      return missed(from: hop.from, to: hop.to, hop.last, count: 1)
    }
    let transaction = message.match + [0] + fromTag
    let key = transaction + [0] + Array(message.name.utf8)
    let ends = legEnds(hop.from, hop.to)
    var visit = Visit(hop: hop, leg: (from: station(ends.from), to: station(ends.to)))
    if let status = message.status {
      if status >= 200 {
        _ = finals.insert(true, for: Final(transaction: transaction, station: visit.leg.from))
      }
      // It goes on only where its request came in.
      let request = messages[transaction + [0] + Array(message.method.utf8)]
      visit.isAtEnd = request?.visits.contains { $0.leg.to == visit.leg.to } != true
    }
    if messages[key] == nil {
      let new = Message(name: book.named("sip-forward-\(message.name)"), transaction: transaction, time: hop.last)
      if let evicted = messages.insert(new, for: key) { evict(evicted) }
    }
    messages.update(key) { take(visit, of: message, into: &$0) }
    while visits > limits.pending, let oldest = messages.popOldest(where: { _ in true }) { evict(oldest) }
  }

  private func evict(_ message: Message) {
    visits -= message.visits.count
    for visit in message.visits where !visit.hasLeft { book.lose(message.name, .evicted) }
  }

  private func take(_ new: Visit, of message: SIPMessage, into entry: inout Message) {
    var new = new
    if let again = entry.visits.firstIndex(where: {
      $0.leg == new.leg && $0.hop.from.address == new.hop.from.address && $0.hop.to.address == new.hop.to.address
        && agree($0, new)
    }) {
      book.count(entry.name) { $0.repeatedRequests += 1 }
      entry.visits[again].isRepeated = true
      return
    }
    guard entry.visits.count < SIPForwarding.mostVisits else { return book.tally.malformed += 1 }
    book.count(entry.name) { $0.requests += 1 }
    if let entered = entry.visits.firstIndex(where: { $0.leg.to == new.leg.from && !$0.hasLeft && agree($0, new) }) {
      new.hasEntered = true
      leave(&entry.visits[entered], message, entry.name, by: new.hop)
    } else if entry.visits.contains(where: { $0.leg.to == new.leg.from }) {
      // A fork: further copies of what has left already.
      book.count(entry.name) { $0.repeatedResponses += 1 }
      new.hasEntered = true
    }
    // Two clocks: it was seen to leave a little before it was seen to enter.
    if let left = entry.visits.firstIndex(where: {
      $0.leg.from == new.leg.to && $0.leg.to != new.leg.from && !$0.hasEntered && agree($0, new)
        && span(from: $0.hop.last, to: new.hop.last) <= limits.disorder
    }) {
      entry.visits[left].hasEntered = true
      leave(&new, message, entry.name, by: entry.visits[left].hop)
    }
    entry.visits.append(new)
    visits += 1
  }

  /// Where both packets have VLAN tags, those are the same.
  private func agree(_ one: Visit, _ other: Visit) -> Bool {
    one.hop.vlans.isEmpty || other.hop.vlans.isEmpty || one.hop.vlans == other.hop.vlans
  }

  private func leave(_ visit: inout Visit, _ message: SIPMessage, _ name: PairName, by hop: SIPHop) {
    visit.hasLeft = true
    let pair = Pair(
      name: name.name, start: visit.hop.last, end: hop.first, endLast: hop.last, label: .text(message.label),
      retransmitted: visit.isRepeated, client: visit.hop.from, server: visit.hop.to)
    if book.settle(pair, of: name), forwarders.count < limits.pending { forwarders.insert(visit.leg.to) }
  }

  func missed(from: Endpoint, to: Endpoint, _ time: Int64, count: Int) {
    unread.note(station(legEnds(from, to).from), time, count: count)
  }

  private func close(_ message: Message) {
    // These end at every station: the ACK of a refusal, CANCEL and its answer.
    visits -= message.visits.count
    let isHopByHop = message.name.name.hasSuffix("-ACK") || message.name.name.hasSuffix("CANCEL")
    for visit in message.visits where !visit.hasLeft {
      let station = visit.leg.to
      let isDealtWith = finals[Final(transaction: message.transaction, station: station)] != nil
      if isHopByHop || visit.isAtEnd || isDealtWith || !forwarders.contains(station) {
        book.lose(message.name, .silent)
      } else {
        book.lose(message.name, unread.excuses(station, since: visit.hop.last) ? .abandoned : .unanswered)
      }
    }
  }

  func finish() { for message in messages.removeAll() { close(message) } }
}
