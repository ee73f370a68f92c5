// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTraffic
internal import Clocks
internal import Glibc

/// The device's queueing discipline sends each packet at its time (SO_TXTIME): fq or etf, which packets reach early.
package struct DepartureTimes: Sendable {
  /// Nanoseconds before its time that a packet is handed over.
  package let lead: Int64
  /// `fq` or `etf`.
  package let discipline: String
  /// The clock of the discipline's times.
  private let clock: Int32
  private let device: String
  /// Packets of this program that fq lets wait; nil where it is not told.
  private let limit: Int?

  /// - Throws: ``TrafficError`` where the device's discipline does not look at times.
  package init(device: String, lead: Int64) throws(TrafficError) {
    var found = lp_qdisc()
    let error = unsafe lp_device_qdisc(device, &found)
    guard error == 0 else {
      throw TrafficError(
        "\(device): its queueing discipline is not known: \(unsafe String(cString: strerror(-error))); leave --txtime out"
      )
    }
    let kind = unsafe withUnsafeBytes(of: found.kind) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    guard [CLOCK_MONOTONIC, CLOCK_TAI, CLOCK_REALTIME].contains(found.clock) else {
      throw TrafficError(
        "\(device): its queueing discipline is \(kind.isEmpty ? "none" : kind), which sends packets whatever their time; "
          + "'tc qdisc replace dev \(device) root fq', or leave --txtime out")
    }
    (self.lead, discipline, clock, self.device) = (lead, kind, found.clock, device)
    limit = found.limit > 0 ? Int(found.limit) : nil
  }

  /// Packets that wait in the device's queue, in the mean, and a burst.
  func waiting(_ pace: Pace) -> Int { Int((pace.rate * Double(lead) / 1e9).rounded(.up)) + Int(pace.burst) }

  /// What the discipline will drop; nil: nothing.
  package func warning(_ pace: Pace) -> String? {
    guard let limit, case let waiting = waiting(pace), waiting > limit else { return nil }
    return
      "\(device): some \(waiting) packets wait in \(discipline) at once, which drops those beyond \(limit): give a shorter "
      + "--txtime, or 'tc qdisc replace dev \(device) root fq limit \(max(10_000, 4 * waiting)) flow_limit \(2 * waiting)'"
  }

  /// - Parameter size: bytes of UDP payload.
  package func apply(to socket: borrowing UDPSocket, _ pace: Pace, size: Int) throws(TrafficError) {
    // The kernel counts the memory that it takes, generously here: up to 1 KiB beside twice the packet, and twice the packets.
    socket.makeQueueRoom(2 * waiting(pace) * (2 * size + 1024))
    let error = socket.keepTimes(of: clock)
    guard error == 0 else {
      throw TrafficError(
        "no times for packets (SO_TXTIME): \(unsafe String(cString: strerror(-error)))"
          + (error == -EPERM ? "; run with sudo, or grant CAP_NET_ADMIN" : ""))
    }
  }

  /// The discipline's clock at a time of CLOCK_MONOTONIC.
  func time(at monotonic: Int64) -> UInt64 {
    if clock == CLOCK_MONOTONIC { return UInt64(monotonic) }
    // They go at the same rate, but for a moment in which one is set.
    let other = clock == CLOCK_TAI ? Instant<TAI>.now.nanoseconds : Instant<Realtime>.now.nanoseconds
    return UInt64(monotonic + other - Instant<Monotonic>.now.nanoseconds)
  }
}
