// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Probing

@Suite struct StampCostTests {
  @Test func isTheTimeOfTheStretchByItsStamps() {
    let first = StampCost.Totals(stamps: 1_000, nanoseconds: 500_000)
    #expect(StampCost.perStamp(first, .init(stamps: 1_199, nanoseconds: 547_763)) == 240)
    #expect(StampCost.perStamp(first, .init(stamps: 1_100, nanoseconds: 525_013)) == 250.1)
  }

  @Test func isNotGivenOfAFewStamps() {
    let first = StampCost.Totals(stamps: 1_000, nanoseconds: 500_000)
    #expect(StampCost.perStamp(first, .init(stamps: 1_099, nanoseconds: 600_000)) == nil)
    #expect(StampCost.perStamp(first, first) == nil)
  }
}
