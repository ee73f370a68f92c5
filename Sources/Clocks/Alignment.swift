// SPDX-License-Identifier: GPL-2.0-or-later

/// What is known about the clocks of a guest and its host.
package struct AlignmentInput: Sendable {
  package var host: [ClockReading]
  package var guest: [ClockReading]
  package var counters: [CounterReading]
  package var crossStamps: [CrossStamp]
  package var exchanges: [TwoWayExchange]

  package init(
    host: [ClockReading], guest: [ClockReading], counters: [CounterReading] = [], crossStamps: [CrossStamp] = [],
    exchanges: [TwoWayExchange] = []
  ) {
    self.host = host
    self.guest = guest
    self.counters = counters
    self.crossStamps = crossStamps
    self.exchanges = exchanges
  }
}

/// A guest's clock aligned with its host's by every method there is.
///
/// MONOTONIC is what stamps carry, and NTP slews it on either machine. MONOTONIC_RAW and the time stamp counter are never
/// slewed, so machines are compared on these:
///
///     guest MONOTONIC → guest TSC → host TSC → host MONOTONIC          tsc
///     guest MONOTONIC → guest RAW → host RAW → host MONOTONIC          ptp_kvm, exchange
package struct Alignment: Sendable {
  package struct Outcome: Sendable {
    package var method: AlignmentMethod
    package var result: Result<ClockMap, AlignmentError>

    package var map: ClockMap? { try? result.get() }
    package var failure: AlignmentError? {
      if case .failure(let error) = result { error } else { nil }
    }
  }

  /// Every method, best first.
  package let outcomes: [Outcome]

  package init(_ input: AlignmentInput) {
    let sides = Result { () throws(AlignmentError) in
      (host: try LocalClocks(input.host, side: .host), guest: try LocalClocks(input.guest, side: .guest))
    }
    var outcomes = AlignmentMethod.allCases.map { method in
      let result = Result { () throws(AlignmentError) in
        let (host, guest) = try sides.get()
        return switch method {
        case .tsc: try byCounter(host, guest, input.counters)
        case .ptpKVM: try byCrossStamps(host, guest, input.crossStamps)
        case .exchange: try byExchanges(host, guest, input.exchanges)
        }
      }
      return Outcome(method: method, result: result)
    }
    Alignment.overrule(&outcomes)
    self.outcomes = outcomes
  }

  /// Takes a jump of the cross stamps for what it must be where counters and exchanges agree that there was none.
  ///
  /// They rest on REALTIME, which may be set and set back between two readings. A guest that was paused or moved jumps in
  /// MONOTONIC against its counter, or in the counter's offset, and RAW with it, by which messages are compared.
  private static func overrule(_ outcomes: inout [Outcome]) {
    guard let crosses = outcomes.firstIndex(where: { $0.method == .ptpKVM }),
      case .contradiction(let at) = outcomes[crosses].failure,
      let counted = outcomes.first(where: { $0.method == .tsc })?.map,
      let exchanged = outcomes.first(where: { $0.method == .exchange })?.map,
      counted.disagreement(with: exchanged, over: counted.covered).isAllowed
    else { return }
    outcomes[crosses].result = .failure(.crossStampsAlone(at: at))
  }

  /// The first method that works; none if one saw that the guest was interrupted, since then the others only missed it.
  package var best: ClockMap? { interruption == nil ? outcomes.lazy.compactMap(\.map).first : nil }

  /// That the guest was suspended, resumed or migrated during the run.
  package var interruption: AlignmentError? {
    outcomes.lazy.compactMap(\.failure).first { $0.isInterruption }
  }
}
