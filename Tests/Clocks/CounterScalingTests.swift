// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Clocks

@Suite struct CounterScalingTests {
  @Test func goldenValues() {
    // By Python: ((host * ratio) >> bits) + offset, modulo 2**64.
    let plain = CounterScaling(offset: -1_000)
    #expect(plain.guest(5_000) == 4_000)
    #expect(plain.guest(3) == UInt64.max - 996)
    #expect(plain.host(UInt64.max - 996) == 3)
    let faster = CounterScaling(offset: 7, ratio: 0x1_8000_0000_0000, fractionBits: 48)
    #expect(faster.guest(1 << 62) == 3 << 61 + 7)
    #expect(faster.host(3 << 61 + 7) == 1 << 62)
    let slower = CounterScaling(offset: .min, ratio: 0xC000_3039, fractionBits: 32)
    #expect(slower.guest(0x7FFF_FFFF_FFFF_FFFF) == 0xE000_181C_7FFF_FFFF)
    #expect(CounterScaling(offset: 0, ratio: 1 << 32, fractionBits: 32).guest(.max) == .max)
  }

  @Test func theInverseIsTheFirstHostTickThatShowsIt() throws {
    var random = SeededGenerator(state: 4)
    for _ in 0..<20_000 {
      let bits: UInt8 = Bool.random(using: &random) ? 32 : 48
      let ratio = UInt64(Double.random(in: 0.1...9, using: &random) * Double(UInt64(1) << UInt64(bits)))
      let scaling = CounterScaling(
        offset: Int64.random(in: .min ... .max, using: &random), ratio: ratio, fractionBits: bits)
      // Products near 2^63 · ratio take all 128 bits; the result must have 64.
      let host = UInt64.random(in: 1...(UInt64.max / 10), using: &random)
      let guest = scaling.guest(host)
      let found = try #require(scaling.host(guest))
      #expect(scaling.guest(found) == guest)
      #expect(found <= host && Double(host - found) <= scaling.inverseError)
      #expect(scaling.guest(found - 1) != guest)
    }
  }

  @Test func whatDoesNotFitHasNoInverse() {
    let halved = CounterScaling(offset: 0, ratio: 1 << 31, fractionBits: 32)
    #expect(halved.host(1 << 63) == nil)
    #expect(halved.host(1 << 62) == 1 << 63)
    #expect(!CounterScaling(offset: 0, ratio: 9, fractionBits: 64).isValid)
    #expect(!CounterScaling(offset: 0, ratio: 9, fractionBits: 0).isValid)
    #expect(CounterScaling(offset: 0, ratio: 0, fractionBits: 0).isValid)
  }
}
