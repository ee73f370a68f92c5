// SPDX-License-Identifier: GPL-2.0-or-later

/// SIP forward delays: a message that enters a station and the same message (Call-ID, CSeq, From's tag, and the status of an
/// answer) that leaves it. 100 Trying never crosses a station and is left out.
///
/// Both sides of a call number their requests on their own (RFC 3261, 12.2.1.1); From's tag tells whose a request is.
final class SIPForwarding: SIPDialogue {
  private struct Visit {
    var from: Endpoint
    var to: Endpoint
    /// The ends of the leg, as stations.
    var leg: (from: Endpoint, to: Endpoint)
    var time: Int64
    var isRepeated = false
    var hasLeft = false
  }
  private struct Message {
    var name: String
    var time: Int64
    var visits: [Visit] = []
  }
  let book: Book
  private var messages: BoundedTable<[UInt8], Message>
  /// Addresses of one station stand for the first of them.
  private let stations: [IPAddress: IPAddress]
  /// Stations that have forwarded something.
  private var forwarders: Set<Endpoint> = []
  private let limit: Int
  /// Timer B and F of RFC 3261 give up after 32 s; what comes later is another message.
  private static let timeout: Int64 = 64_000_000_000
  /// A message with more visits goes round in circles.
  private static let mostVisits = 32

  init(_ book: Book, stations: [[IPAddress]], limits: PairingLimits) {
    self.book = book
    limit = limits.pending
    messages = BoundedTable(limit: limit)
    var names: [IPAddress: IPAddress] = [:]
    for station in stations { for address in station { names[address] = station[0] } }
    self.stations = names
  }

  private func station(_ end: Endpoint) -> Endpoint {
    Endpoint(address: stations[end.address] ?? end.address, port: end.port)
  }

  func take(_ message: SIPMessage, from: Endpoint, to: Endpoint, first: Int64, last: Int64) {
    while let old = messages.popOldest(where: { span(from: $0.time, to: last) > SIPForwarding.timeout }) { close(old) }
    guard message.status != 100 else { return }
    guard let fromTag = message.fromTag ?? (message.header == nil ? nil : []) else {
      book.tally.truncated += 1
      return
    }
    let key = message.match + [0] + Array(message.name.utf8) + [0] + fromTag
    if messages[key] == nil, let evicted = messages.insert(Message(name: message.name, time: last), for: key) {
      for visit in evicted.visits where !visit.hasLeft { book.tally.evicted += 1 }
    }
    let ends = legEnds(from, to)
    let leg = (from: station(ends.from), to: station(ends.to))
    messages.update(key) { entry in
      if let again = entry.visits.firstIndex(where: {
        $0.leg == leg && $0.from.address == from.address && $0.to.address == to.address
      }) {
        book.tally.repeatedRequests += 1
        entry.visits[again].isRepeated = true
        return
      }
      if let entered = entry.visits.firstIndex(where: { $0.leg.to == leg.from && !$0.hasLeft }) {
        leave(&entry.visits[entered], message, first: first, last: last)
      } else if entry.visits.contains(where: { $0.leg.to == leg.from }) {
        // A fork: further copies of what has left already.
        book.tally.repeatedResponses += 1
      }
      guard entry.visits.count < SIPForwarding.mostVisits else {
        book.tally.malformed += 1
        return
      }
      book.tally.requests += 1
      entry.visits.append(Visit(from: from, to: to, leg: leg, time: last))
    }
  }

  private func leave(_ visit: inout Visit, _ message: SIPMessage, first: Int64, last: Int64) {
    visit.hasLeft = true
    let pair = Pair(
      name: "sip-forward-\(message.name)", start: visit.time, end: first, endLast: last, label: .text(message.label),
      retransmitted: visit.isRepeated, client: visit.from, server: visit.to)
    if book.settle(pair), forwarders.count < limit { forwarders.insert(visit.leg.to) }
  }

  private func close(_ message: Message) {
    // These end at every station: the ACK of a refusal, CANCEL and its answer.
    let isHopByHop = message.name == "ACK" || message.name.hasSuffix("CANCEL")
    for visit in message.visits where !visit.hasLeft {
      if isHopByHop || !forwarders.contains(visit.leg.to) {
        book.tally.silent += 1
      } else {
        book.tally.unanswered += 1
      }
    }
  }

  func finish() { for message in messages.removeAll() { close(message) } }
}
