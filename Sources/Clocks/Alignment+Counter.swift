// SPDX-License-Identifier: GPL-2.0-or-later

/// Alignment by the offset and scaling that KVM gave the guest's time stamp counter: exact but for the local clocks.
func byCounter(
  _ host: LocalClocks, _ guest: LocalClocks, _ counters: [CounterReading]
) throws(AlignmentError) -> ClockMap {
  let scaling = try commonScaling(counters)
  let base = host.readings[0].counter
  let hostTicks = try host.counter(since: base)
  let guestBase = guest.readings[0].counter
  let guestTicks = try guest.counter(since: guestBase)
  // A microsecond, in ticks of the guest.
  guard scaling.doubt <= guestTicks.slope * 1_000 else {
    throw .countersDisagree(ticks: UInt64(clamping: whole(2 * scaling.doubt)))
  }
  let perTick = scaling.value.inverseError == 0 ? 1 : scaling.value.hostTicksPerTick
  var knots: [ClockCurve.Knot] = []
  for knot in guestTicks.knots {
    guard let ticks = scaling.value.host(guestBase &+ UInt64(bitPattern: knot.y)) else { continue }
    knots.append(
      ClockCurve.Knot(
        x: knot.x, y: Int64(bitPattern: ticks &- base),
        error: (knot.error + scaling.doubt) * perTick + scaling.value.inverseError, bend: knot.bend * perTick))
  }
  guard let counted = ClockCurve(knots: knots, growth: guestTicks.growth * perTick),
    let back = hostTicks.inverted(), let curve = counted.followed(by: back)
  else { throw .noOverlap }
  // What was read earlier says nothing about a guest that is no longer there.
  let last = counters.map(\.at).max()?.nanoseconds ?? .min
  guard last >= curve.value(at: curve.end).y.subtractingCapped(CounterReading.longestGap) else {
    throw .countersEnded(at: last)
  }
  return try ClockMap(curve, method: .tsc, samples: counters.count)
}

/// The scaling of all vCPUs at all times, its offset uncertain by `doubt` guest ticks where vCPUs differ.
private func commonScaling(_ counters: [CounterReading]) throws(AlignmentError) -> (
  value: CounterScaling, doubt: Double
) {
  guard let first = counters.first else { throw .noGuestCounters }
  var known: [Int: CounterReading] = [:]
  var provesConstancy = false
  for counter in counters.sorted(by: { $0.at < $1.at }) {
    guard counter.scaling.isValid else { throw .badScaling(vcpu: counter.vcpu) }
    if let before = known[counter.vcpu] {
      guard before.scaling == counter.scaling else {
        throw .offsetChanged(vcpu: counter.vcpu, at: counter.at.nanoseconds)
      }
      provesConstancy = provesConstancy || counter.at > before.at
    } else {
      known[counter.vcpu] = counter
    }
  }
  guard provesConstancy else { throw .countersReadOnce }
  let scalings = known.values.map(\.scaling)
  let ratios = scalings.map(\.ratio)
  guard let least = scalings.map(\.offset).min(), let greatest = scalings.map(\.offset).max(),
    ratios.allSatisfy({ $0 == first.scaling.ratio })
  else { throw .countersDisagree(ticks: .max) }
  // Offsets may lie at both ends of the numbers.
  let spread = UInt64(bitPattern: greatest &- least)
  let middle = CounterScaling(
    offset: least &+ Int64(spread / 2), ratio: first.scaling.ratio, fractionBits: first.scaling.fractionBits)
  return (middle, Double((spread + 1) / 2))
}

extension CounterScaling {
  /// Host ticks in the time of one guest tick.
  fileprivate var hostTicksPerTick: Double {
    Double(sign: .plus, exponent: Int(fractionBits), significand: 1) / Double(ratio)
  }
}
