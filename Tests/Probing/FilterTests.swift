// SPDX-License-Identifier: GPL-2.0-or-later
import Probing
import Testing

@Suite struct FilterTests {
  @Test func badSyntaxIsNamed() {
    #expect(throws: FilterError.self) { try Filter("udp prt 5") }
  }
}
