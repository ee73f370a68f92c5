// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Tap

struct LivePairingClockTests {
  @Test func hardwareStampsMustBeOfOneKnownClock() {
    #expect(LivePairing.complaint(about: [("eth1", 0), ("eth2", 0)]) == nil)
    #expect(LivePairing.complaint(about: [("eth1", 0), ("eth2", 1)])?.hasPrefix("eth1 eth2 have different") == true)
    #expect(LivePairing.complaint(about: [("eth1", 0), ("eth2", nil)])?.hasPrefix("eth2 does not say which") == true)
    #expect(LivePairing.complaint(about: [("eth1", nil), ("eth2", nil)])?.hasPrefix("eth1 does not say which") == true)
  }
}
