// SPDX-License-Identifier: GPL-2.0-or-later
@testable import Clocks

/// A clock that runs at a rate that changes at known times, as NTP makes MONOTONIC do.
struct VirtualClock {
  /// True nanoseconds from which on each rate holds, ascending, the first at 0.
  var rates: [(from: Double, rate: Double)]
  var origin: Int64

  init(origin: Int64, rate: Double = 1, slews: [(from: Double, ppm: Double)] = []) {
    self.origin = origin
    rates = [(0, rate)] + slews.map { ($0.from, rate * (1 + $0.ppm * 1e-6)) }
  }

  /// Whole nanoseconds (or ticks) at a true time, cut off as a kernel does.
  func read(_ time: Double) -> Int64 {
    var sum = 0.0
    for (index, piece) in rates.enumerated() {
      let end = index + 1 < rates.count ? min(rates[index + 1].from, time) : time
      if end > piece.from || index == 0 { sum += (end - piece.from) * piece.rate }
    }
    return origin + Int64(sum.rounded(.down))
  }
}

/// A machine whose clocks are known at every true time.
struct VirtualMachine {
  var monotonic: VirtualClock
  var raw: VirtualClock
  /// REALTIME − MONOTONIC from a true time on.
  var wall: [(from: Double, offset: Int64)]
  var counter: VirtualClock
  /// Guest: made from the host's counter instead.
  var scaling: CounterScaling?
  var suspended: Int64 = 0
  var suspendedFrom = Double.infinity

  func realtime(_ time: Double) -> Int64 {
    monotonic.read(time) + (wall.last { $0.from <= time } ?? wall[0]).offset
  }

  func ticks(_ time: Double) -> UInt64 {
    let host = UInt64(bitPattern: counter.read(time))
    return scaling?.guest(host) ?? host
  }

  /// One reading that takes `window` nanoseconds, each clock somewhere in it.
  func reading(_ time: Double, window: Double, using random: inout some RandomNumberGenerator) -> ClockReading {
    let before = monotonic.read(time - window / 2)
    let after = monotonic.read(time + window / 2)
    func place() -> Double { time + Double.random(in: -0.5...0.5, using: &random) * window }
    let boottime = place()
    return ClockReading(
      monotonic: Instant(nanoseconds: before + (after - before) / 2), window: after - before,
      monotonicRaw: Instant(nanoseconds: raw.read(place())), realtime: Instant(nanoseconds: realtime(place())),
      tai: Instant(nanoseconds: realtime(time)),
      boottime: Instant(nanoseconds: monotonic.read(boottime) + (boottime >= suspendedFrom ? suspended : 0)),
      counter: ticks(place()))
  }
}

/// A host and its guest on virtual time, true nanoseconds from 0 to `length`.
struct VirtualPair {
  var random: SeededGenerator
  var length = 10e9
  var host: VirtualMachine
  var guest: VirtualMachine
  /// Usual window of a clock reading; one in ten in between is interrupted and takes up to a hundred times as long.
  var window = 200.0
  /// Least way of a message, forth and back.
  var ways = (forth: 20_000.0, back: 30_000.0)

  init(seed: UInt64) {
    var random = SeededGenerator(state: seed)
    let frequency = Double.random(in: 1.8...4.2, using: &random)
    let crystal = Double.random(in: -80e-6...80e-6, using: &random)
    let boot = Int64.random(in: 0...1 << 50, using: &random)
    let wall: Int64 = 1_700_000_000_000_000_000
    host = VirtualMachine(
      monotonic: VirtualClock(origin: boot, rate: 1 + crystal), raw: VirtualClock(origin: boot + 77, rate: 1 + crystal),
      wall: [(0, wall)],
      counter: VirtualClock(origin: Int64.random(in: 1 << 40...1 << 55, using: &random), rate: frequency))
    // The guest's kernel measured the counter's rate for itself, a few ppm off.
    let guess = 1 + crystal + Double.random(in: -5e-6...5e-6, using: &random)
    guest = VirtualMachine(
      monotonic: VirtualClock(origin: 5_000_000_000, rate: guess),
      raw: VirtualClock(origin: 5_000_000_123, rate: guess),
      wall: [(0, wall + 3)], counter: host.counter, scaling: CounterScaling(offset: -host.counter.origin + 17))
    self.random = random
  }

  mutating func slewHost(_ slews: [(from: Double, ppm: Double)]) {
    host.monotonic = VirtualClock(
      origin: host.monotonic.origin, rate: host.monotonic.rates[0].rate, slews: slews)
  }

  mutating func slewGuest(_ slews: [(from: Double, ppm: Double)]) {
    guest.monotonic = VirtualClock(
      origin: guest.monotonic.origin, rate: guest.monotonic.rates[0].rate, slews: slews)
  }

  /// Sets the guest's clocks forward as kvm-clock may do: MONOTONIC and MONOTONIC_RAW, not the counter.
  mutating func stepGuest(at time: Double, by step: Double) {
    for clock in [\VirtualMachine.monotonic, \.raw] {
      guest[keyPath: clock] = VirtualClock(
        origin: guest[keyPath: clock].origin, rate: guest[keyPath: clock].rates[0].rate,
        slews: [(time, step * 1e3), (time + 1e3, 0)])
    }
  }

  /// Clock readings every 100 ms or so, with one at each end.
  mutating func readings(_ machine: VirtualMachine) -> [ClockReading] {
    var times = [1e3]
    while let last = times.last, last < length - 150e6 {
      times.append(last + Double.random(in: 90e6...110e6, using: &random))
    }
    times.append(length)
    return times.map { time in
      var width = Double.random(in: window * 0.8...window * 1.2, using: &random)
      let isEnd = time < 1e6 || time == length
      if !isEnd, Int.random(in: 0..<10, using: &random) == 0 { width *= Double.random(in: 1...100, using: &random) }
      return machine.reading(time, window: width, using: &random)
    }
  }

  func counters(vcpus: Int = 2) -> [CounterReading] {
    let scaling = guest.scaling ?? CounterScaling(offset: 0)
    return stride(from: 0, through: length, by: 1e9).flatMap { time in
      (0..<vcpus).map {
        CounterReading(at: Instant(nanoseconds: host.monotonic.read(time)), vcpu: $0, scaling: scaling)
      }
    }
  }

  /// Cross stamps every 500 ms and at the end, `window` 0 or the time a reading takes.
  mutating func crossStamps(window: Double = 0, tellsRaw: Bool = true) -> [CrossStamp] {
    (stride(from: 2e6, to: length, by: 500e6) + [length]).map { time in
      let device = time + Double.random(in: -0.5...0.5, using: &random) * window
      let noise = Int64.random(in: -30...30, using: &random)
      return CrossStamp(
        hostRealtime: Instant(nanoseconds: host.realtime(device) + noise),
        guestRealtime: Instant(nanoseconds: guest.realtime(time)),
        guestRaw: tellsRaw ? Instant(nanoseconds: guest.raw.read(time)) : nil, window: Int64(window))
    }
  }

  /// Messages every 50 ms and at the end with delays that have a long tail.
  mutating func exchanges() -> [TwoWayExchange] {
    (stride(from: 2e6, to: length, by: 50e6) + [length]).map { sent in
      let received = sent + ways.forth * tail()
      let answered = received + 2_000
      let back = answered + ways.back * tail()
      return TwoWayExchange(
        hostSent: Instant(nanoseconds: host.raw.read(sent)),
        guestReceived: Instant(nanoseconds: guest.raw.read(received)),
        guestSent: Instant(nanoseconds: guest.raw.read(answered)),
        hostReceived: Instant(nanoseconds: host.raw.read(back)))
    }
  }

  private mutating func tail() -> Double { 1 / (1 - Double.random(in: 0..<0.98, using: &random)) }

  mutating func input() -> AlignmentInput {
    AlignmentInput(
      host: readings(host), guest: readings(guest), counters: counters(), crossStamps: crossStamps(),
      exchanges: exchanges())
  }

  /// The largest true error of a map in units of its own ε, and the largest ε.
  /// - Parameter events: looked at more closely.
  mutating func judge(_ map: ClockMap, events: [Double] = []) -> (ratio: Double, largest: Int64) {
    var worst = 0.0
    var largest: Int64 = 0
    var times = (0..<400).map { _ in Double.random(in: 0...length, using: &random) }
    for event in events {
      times += (0..<100).map { _ in min(max(event + Double.random(in: -150e6...150e6, using: &random), 0), length) }
      times += [event - 1e4, event + 1e4]
    }
    for time in times {
      let guestTime = guest.monotonic.read(time)
      guard let found = map.host(guestTime), let error = map.error(at: guestTime) else { return (.infinity, 0) }
      // Cutting off to whole nanoseconds makes both of these uncertain by one.
      let off = max(0, abs(found - host.monotonic.read(time)) - 1)
      worst = max(worst, Double(off) / Double(error))
      largest = max(largest, error)
    }
    return (worst, largest)
  }

  var span: ClosedRange<Int64> { guest.monotonic.read(0)...guest.monotonic.read(length) }
}

/// SplitMix64: the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
