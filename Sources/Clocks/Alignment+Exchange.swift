// SPDX-License-Identifier: GPL-2.0-or-later

/// A message from the host to the guest and its answer, each time of the machine's own MONOTONIC_RAW.
package struct TwoWayExchange: Sendable, Hashable {
  package var hostSent: Instant<MonotonicRaw>
  package var guestReceived: Instant<MonotonicRaw>
  package var guestSent: Instant<MonotonicRaw>
  package var hostReceived: Instant<MonotonicRaw>

  package init(
    hostSent: Instant<MonotonicRaw>, guestReceived: Instant<MonotonicRaw>, guestSent: Instant<MonotonicRaw>,
    hostReceived: Instant<MonotonicRaw>
  ) {
    self.hostSent = hostSent
    self.guestReceived = guestReceived
    self.guestSent = guestSent
    self.hostReceived = hostReceived
  }

  /// Neither machine's clock goes backwards, and a minute is no exchange.
  fileprivate var isSane: Bool {
    let limit = 0..<(Int64(1) << 62)
    return [hostSent, guestReceived, guestSent, hostReceived].allSatisfy { limit.contains($0.nanoseconds) }
      && guestSent >= guestReceived && hostReceived >= hostSent && hostReceived - hostSent < .seconds(60)
  }
}

/// Alignment by two-way messages: nothing arrives before it was sent, whatever the delays were.
///
/// host(guestReceived) ≥ hostSent and host(guestSent) ≤ hostReceived. Slow messages say less, so the fastest of each
/// direction decide by themselves; delays that differ between the directions are within the error.
func byExchanges(
  _ host: LocalClocks, _ guest: LocalClocks, _ exchanges: [TwoWayExchange]
) throws(AlignmentError) -> ClockMap {
  let usable = exchanges.filter { $0.isSane }.sorted { $0.guestReceived < $1.guestReceived }
  guard usable.count >= 2 else { throw .noExchanges }
  let bounds = usable.map {
    RawBound(
      lowAt: $0.guestReceived.nanoseconds, low: $0.hostSent.nanoseconds, highAt: $0.guestSent.nanoseconds,
      high: $0.hostReceived.nanoseconds)
  }
  return try align(
    host, guest, by: { span throws(AlignmentError) in try rawCurve(bounds, over: span) }, method: .exchange,
    samples: usable.count)
}
