// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Probing

@Suite struct StampCostTests {
  private func totals(_ sites: (stamps: UInt64, nanoseconds: UInt64)...) -> StampCost.Totals {
    StampCost.Totals(
      sites: sites.enumerated().map {
        StampCost.Site(hooks: ["hook\($0)"], stamps: $1.stamps, nanoseconds: $1.nanoseconds)
      })
  }

  @Test func isTheTimeOfTheStretchByItsStamps() {
    let first = totals((1_000, 500_000))
    #expect(StampCost.perStamp(first, totals((1_199, 547_763)))?.mean == 240)
    #expect(StampCost.perStamp(first, totals((1_100, 525_013)))?.mean == 250.1)
  }

  @Test func isNotGivenOfAFewStamps() {
    let first = totals((1_000, 500_000))
    #expect(StampCost.perStamp(first, totals((1_099, 600_000))) == nil)
    #expect(StampCost.perStamp(first, first) == nil)
  }

  @Test func isTheHooksOwnWhereItsProgramsAre() {
    let cost = StampCost.perStamp(totals((0, 0), (0, 0), (0, 0)), totals((100, 20_000), (300, 120_000), (7, 9_000)))
    #expect(cost?.mean == 366.1)
    #expect(cost?.byHook == ["hook0": 200, "hook1": 400])
  }

  @Test func hookPointsThatShareAProgramCannotBeToldApart() {
    let sites = StampCost.sites([
      ("txg1", ["net_dev_queue"]), ("txg2", ["net_dev_start_xmit"]), ("txh0", ["netif_rx", "napi"]),
      ("rxh1", ["net_dev_start_xmit"]), ("rxg0", ["napi", "netif_rx"]),
    ])
    #expect(Set(sites.map(\.hooks)) == [["txg1"], ["txg2", "rxh1"], ["txh0", "rxg0"]])
  }
}
