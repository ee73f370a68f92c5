// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTiming
internal import Clocks
internal import Glibc

/// A way to read a clock.
package enum ClockReadingMethod: String, CaseIterable, Sendable {
  /// The processor's counter: RDTSC, or CNTVCT_EL0 of arm64.
  case counter
  /// The counter after all instructions before it: RDTSCP, or ISB and CNTVCT_EL0.
  case orderedCounter
  case realtime
  case monotonic
  case monotonicRaw
  case boottime
  case tai
  /// CLOCK_MONOTONIC by a system call instead of the vDSO.
  case systemCall

  /// As reports show it.
  package var name: String {
    switch self {
    case .counter: ClockReadingMethod.isX86 ? "rdtsc" : "cntvct"
    case .orderedCounter: ClockReadingMethod.isX86 ? "rdtscp" : "isb-cntvct"
    case .realtime: "clock-realtime"
    case .monotonic: "clock-monotonic"
    case .monotonicRaw: "clock-monotonic-raw"
    case .boottime: "clock-boottime"
    case .tai: "clock-tai"
    case .systemCall: "syscall-monotonic"
    }
  }

  private static var isX86: Bool {
    #if arch(x86_64)
      true
    #else
      false
    #endif
  }

  private var call: (reading: lp_reading, clock: Int32) {
    switch self {
    case .counter: (LP_READING_COUNTER, 0)
    case .orderedCounter: (LP_READING_COUNTER_ORDERED, 0)
    case .realtime: (LP_READING_CLOCK, CLOCK_REALTIME)
    case .monotonic: (LP_READING_CLOCK, CLOCK_MONOTONIC)
    case .monotonicRaw: (LP_READING_CLOCK, CLOCK_MONOTONIC_RAW)
    case .boottime: (LP_READING_CLOCK, CLOCK_BOOTTIME)
    case .tai: (LP_READING_CLOCK, CLOCK_TAI)
    case .systemCall: (LP_READING_SYSTEM_CALL, CLOCK_MONOTONIC)
    }
  }

  var isCounter: Bool { self == .counter || self == .orderedCounter }

  /// `count` successive readings in the clock's own unit; the differences are what a reading costs (HighPerTimer's timer cost).
  func readings(_ count: Int) -> [UInt64] {
    let call = call
    return unsafe [UInt64](unsafeUninitializedCapacity: count) { buffer, filled in
      guard let times = buffer.baseAddress else { return }
      // Pages that were never touched would be in the cost.
      unsafe times.initialize(repeating: 0, count: count)
      unsafe lp_read_clock(call.reading, call.clock, times, count)
      filled = count
    }
  }
}

/// Ticks of the processor's counter as nanoseconds, by two readings of it against CLOCK_MONOTONIC_RAW.
struct CounterRate {
  /// Nil where the counter stood still or is not known.
  let nanosecondsPerTick: Double?

  init(_ first: ClockReading, _ last: ClockReading) {
    let ticks = last.counter > first.counter ? Double(last.counter - first.counter) : 0
    let time = Double(last.monotonicRaw.nanoseconds - first.monotonicRaw.nanoseconds)
    nanosecondsPerTick = ticks > 0 && time > 0 ? time / ticks : nil
  }
}
