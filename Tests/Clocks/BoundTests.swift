// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Clocks

/// ε is a bound, whatever the clocks do.
@Suite struct BoundTests {
  @Test func outsideOfTheReadingsBothClocksMayBeSlewed() throws {
    for seed in 650..<660 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      let map = try Alignment(pair.input()).outcomes[0].result.get()
      pair.slewGuest([(10e9, 500)])
      pair.slewHost([(10e9, -500)])
      let later = pair.guest.monotonic.read(15e9)
      let off = abs(try #require(map.host(later)) - pair.host.monotonic.read(15e9))
      let error = try #require(map.error(at: later))
      #expect(off > 4_980_000 && off <= error && error < 5_200_000, "\(off) \(error)")
    }
  }
}
