// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Analysis

@Suite struct UnreadDataTests {
  /// Packets and reads around the wrap of sequence numbers, against a plain search.
  @Test(arguments: 0..<23)
  func handsOutWhatIsRead(seed: Int) {
    var generator = SeededGenerator(state: UInt64(seed))
    let base: UInt64 = (1 << 32) - 3_000
    var data = UnreadData<Int>()
    var expected: [(number: Int, byte: UInt64)] = []
    for number in 0..<400 {
      let near = base + UInt64(number) * 15
      if Bool.random(using: &generator) {
        let byte = near + UInt64.random(in: 0..<300, using: &generator)
        data.add(number, lastByte: UInt32(truncatingIfNeeded: byte))
        expected.append((number, byte))
      } else {
        let start = near + UInt64.random(in: 0..<300, using: &generator)
        let length = UInt64.random(in: 1..<100, using: &generator)
        let read = data.read(from: UInt32(truncatingIfNeeded: start), length: UInt32(length))
        #expect(Set(read) == Set(expected.filter { start..<start + length ~= $0.byte }.map(\.number)))
        expected.removeAll { start..<start + length ~= $0.byte }
      }
    }
    #expect(data.isEmpty == expected.isEmpty)
  }

  @Test func waitsForAsMuchAsASocketHolds() {
    var data = UnreadData<Int>()
    for number in 0..<20_000 { data.add(number, lastByte: UInt32(number)) }
    let read = data.read(from: 0, length: 20_000)
    #expect(read.count >= UnreadData<Int>.most && read.count <= UnreadData<Int>.most * 5 / 4)
    #expect(read.last == 19_999 && data.isEmpty)
  }
}
