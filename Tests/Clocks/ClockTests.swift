// SPDX-License-Identifier: GPL-2.0-or-later
import Clocks
import Testing

@Suite struct ClockTests {
  @Test func pointsOfOneClockAreOrderedAndSubtract() {
    let early = Instant<Monotonic>(nanoseconds: -7)
    let late = Instant<Monotonic>(nanoseconds: 5_000_000_016)
    #expect(early < late && !(late < early) && early == Instant(nanoseconds: -7))
    #expect(late - early == .nanoseconds(5_000_000_023))
    #expect(early - late == .nanoseconds(-5_000_000_023))
  }

  @Test func clocksThatCannotBeSetNeverRunBackwards() {
    func check<C: MachineClock>(_ clock: C.Type) {
      var last = Instant<C>.now
      for _ in 0..<10_000 {
        let next = Instant<C>.now
        #expect(next >= last)
        last = next
      }
    }
    check(Monotonic.self)
    check(MonotonicRaw.self)
    check(Boottime.self)
  }

  @Test func aReadingLiesBetweenTheTimesAroundIt() {
    for _ in 0..<100 {
      let before = (Instant<Monotonic>.now, Instant<MonotonicRaw>.now, Instant<Boottime>.now, Instant<Realtime>.now)
      let reading = ClockReading.now()
      let after = (Instant<Monotonic>.now, Instant<MonotonicRaw>.now, Instant<Boottime>.now, Instant<Realtime>.now)
      #expect(reading.window >= 0)
      #expect(reading.monotonic >= before.0 && reading.monotonic <= after.0)
      #expect(reading.monotonicRaw >= before.1 && reading.monotonicRaw <= after.1)
      #expect(reading.boottime >= before.2 && reading.boottime <= after.2)
      // Somebody may step this one, but hardly by a second and just now.
      #expect(reading.realtime - before.3 > .seconds(-1) && after.3 - reading.realtime > .seconds(-1))
      // The whole reading, five tries, holds the window of the best.
      #expect(.nanoseconds(reading.window) <= after.0 - before.0)
    }
  }

  @Test func clocksOfOneReadingDifferByTheirOffsets() {
    let reading = ClockReading.now()
    // BOOTTIME counts suspend, MONOTONIC does not; the window is the reading's own uncertainty.
    #expect(reading.boottime.nanoseconds >= reading.monotonic.nanoseconds - reading.window)
    // UTC and TAI differ by whole seconds, 0 where nobody told the kernel how many.
    let offset = reading.tai.nanoseconds - reading.realtime.nanoseconds
    let whole = (Double(offset) / 1e9).rounded()
    #expect(whole >= 0 && whole < 60)
    #expect(abs(Double(offset) - whole * 1e9) <= Double(reading.window))
  }

  @Test func theCounterTicksOn() {
    let first = ClockReading.now(tries: 1)
    let second = ClockReading.now(tries: 1)
    #expect(second.monotonic > first.monotonic)
    #if arch(x86_64) || arch(arm64)
      #expect(first.counter > 0 && second.counter > first.counter)
    #else
      #expect(first.counter == 0)
    #endif
  }

  @Test func moreTriesNeverFindALongerWindowThanTheirFirst() {
    // Of 50 pairs, a single try beats the best of twenty only by luck.
    let single = (0..<50).map { _ in ClockReading.now(tries: 1).window }.sorted()
    let best = (0..<50).map { _ in ClockReading.now(tries: 20).window }.sorted()
    #expect(best[25] <= single[25])
  }
}
