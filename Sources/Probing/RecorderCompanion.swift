// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI
internal import Collecting
package import Recording

/// What goes on beside a recording: guests that record at the same time. The recorder's thread asks; no answer may wait.
package struct RecorderCompanion {
  /// Clock exchanges that were made since the last call.
  package var exchanges: () -> [ClockExchange]
  /// Asked again and again once there is a reason to stop: whether the recording may end now.
  package var mayEnd: () -> Bool

  package init(exchanges: @escaping () -> [ClockExchange] = { [] }, mayEnd: @escaping () -> Bool = { true }) {
    self.exchanges = exchanges
    self.mayEnd = mayEnd
  }

  /// Writes the new exchanges into the stream of CPU 0.
  func put(into outlet: Outlet) {
    for exchange in exchanges() {
      var event = lp_clock_exchange()
      event.time_ns = exchange.time
      event.event = UInt8(LP_EVENT_CLOCK_EXCHANGE.rawValue)
      event.peer = exchange.peer
      event.sent_ns = exchange.sent
      event.peer_received_ns = exchange.peerReceived
      event.peer_sent_ns = exchange.peerSent
      event.received_ns = exchange.received
      unsafe withUnsafeBytes(of: event) { unsafe outlet.append(cpu: 0, bytes: $0) }
    }
  }
}
