// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import TestPackets
@testable import Traffic

@Suite struct ReflectionTests {
  private static let time: Int64 = 1_700_000_000_000_000_000
  private static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
  private let key = TestKey(bytes: Array(0..<32))
  private let packet = TestPacket(
    sequence: 0x0102_0304, time: time + 5, error: ErrorEstimate(bits: 0x6001), session: 0xbeef)
  /// `openssl dgst -sha256 -mac HMAC` of the first 96 bytes, cut to 16; Python's hmac says the same.
  private static let senderCode: [UInt8] = [
    0x0d, 0xcd, 0xec, 0x16, 0x2f, 0x41, 0x17, 0x19, 0x7e, 0x83, 0x31, 0x7f, 0x05, 0x1e, 0xe2, 0x77,
  ]
  private static let answerCode: [UInt8] = [
    0xfd, 0xe1, 0x81, 0xab, 0x5f, 0x91, 0x96, 0x80, 0x5b, 0x8e, 0x14, 0x3a, 0x66, 0x3e, 0x24, 0x7e,
  ]

  private func answer(to request: [UInt8], _ sequence: UInt32?, _ key: TestKey? = nil) -> [UInt8] {
    Reflection.answer(
      to: request, sequence: sequence, received: ReflectionTests.time + 1000, sent: ReflectionTests.time + 2000,
      error: ErrorEstimate(bits: 0xc003), ttl: 63, key: key)
  }

  @Test func anAuthenticatedRequest() {
    let bytes = packet.bytes(size: 120, key: key)
    let zeros = ReflectionTests.zeros
    var expected: [UInt8] = [0x01, 0x02, 0x03, 0x04] + zeros(12)
    expected += [0x65, 0x53, 0xf1, 0x00, 0x00, 0x00, 0x00, 0x05, 0x60, 0x01, 0xbe, 0xef] + zeros(68)
    #expect(bytes == expected + ReflectionTests.senderCode + zeros(8))
    #expect(TestPacket(payload: bytes, isAuthenticated: true) == packet)
  }

  @Test func anAuthenticatedAnswer() throws {
    let bytes = answer(to: packet.bytes(size: 112, key: key), 7, key)
    let zeros = ReflectionTests.zeros
    var expected: [UInt8] = [0, 0, 0, 7] + zeros(12)
    expected += [0x65, 0x53, 0xf1, 0x00, 0x00, 0x00, 0x07, 0xd0, 0xc0, 0x03, 0xbe, 0xef] + zeros(4)
    expected += [0x65, 0x53, 0xf1, 0x00, 0x00, 0x00, 0x03, 0xe8] + zeros(8)
    expected += [0x01, 0x02, 0x03, 0x04] + zeros(12)
    expected += [0x65, 0x53, 0xf1, 0x00, 0x00, 0x00, 0x00, 0x05, 0x60, 0x01] + zeros(6)
    expected += [63] + zeros(15)
    #expect(bytes == expected + ReflectionTests.answerCode)
    #expect(Reflection(payload: bytes, key: key)?.sequence == 7)
    #expect(Reflection(payload: bytes, key: TestKey(bytes: Array(1..<33))) == nil)
    // Any one bit that is covered or of the code.
    for index in 0..<112 {
      var damaged = bytes
      damaged[index] ^= 1 << UInt8(index % 8)
      #expect(Reflection(payload: damaged, key: key) == nil, "byte \(index)")
    }
  }

  @Test func anAnswerIsThatOfRFC8762() throws {
    let bytes = answer(to: packet.bytes(size: 44), nil)
    #expect(
      bytes == [
        0x01, 0x02, 0x03, 0x04,  // sequence number, as the sender's
        0x65, 0x53, 0xf1, 0x00, 0x00, 0x00, 0x07, 0xd0,  // sent
        0xc0, 0x03,  // error estimate
        0xbe, 0xef,  // SSID
        0x65, 0x53, 0xf1, 0x00, 0x00, 0x00, 0x03, 0xe8,  // received
        0x01, 0x02, 0x03, 0x04,  // the sender's sequence number
        0x65, 0x53, 0xf1, 0x00, 0x00, 0x00, 0x00, 0x05,  // the sender's time
        0x60, 0x01,  // the sender's error estimate
        0, 0, 63, 0, 0, 0,  // TTL
      ])
    let read = try #require(Reflection(payload: bytes))
    #expect(read.residence == 1000 && read.received == ReflectionTests.time + 1000)
    #expect(read.senderSequence == 0x0102_0304 && read.session == 0xbeef)
  }

  /// TWAMP Light: shorter, padded with anything, NTP's time.
  @Test func otherSizesAndFormats() throws {
    for size in [41, 43, 44, 45, 1400] {
      var request = packet.bytes(size: 1400)
      for index in 14..<1400 { request[index] = 0xa5 }
      let bytes = answer(to: Array(request.prefix(size)), 5)
      #expect(bytes.count == size && Reflection(payload: bytes)?.sequence == 5)
      #expect(bytes.dropFirst(44).allSatisfy { $0 == 0xa5 })
    }
    var short = Array(answer(to: packet.bytes(size: 44), 5).prefix(38))
    #expect(Reflection(payload: short)?.sequence == 5)
    #expect(Reflection(payload: Array(short.dropLast())) == nil)
    // Z 0; 1970-01-01 00:00:01.5 and .25.
    short[12] = 0x80
    short.replaceSubrange(4..<12, with: [0x83, 0xaa, 0x7e, 0x81, 0x80, 0, 0, 0])
    short.replaceSubrange(16..<24, with: [0x83, 0xaa, 0x7e, 0x81, 0x40, 0, 0, 0])
    var read = try #require(Reflection(payload: short))
    #expect(read.sent == 1_500_000_000 && read.received == 1_250_000_000)
    // What is left 0 is no time of 1900.
    short.replaceSubrange(16..<24, with: ReflectionTests.zeros(8))
    read = try #require(Reflection(payload: short))
    #expect(read.received == nil && read.residence == nil && !read.isCut)
  }

  /// As long as the request, and only for a request that was as short.
  @Test func cutAnswers() throws {
    let whole = answer(to: packet.bytes(size: 44), nil)
    for size in 16...43 {
      let bytes = answer(to: packet.bytes(size: size), nil)
      var expected = Array(whole.prefix(size))
      // Known for an answer by its error estimate.
      if size < 38 { expected.replaceSubrange(12..<14, with: [0xff, 0x00]) }
      #expect(bytes == expected)
      let read = try #require(Reflection(payload: bytes, ofRequest: size))
      #expect(read.senderSequence == 0x0102_0304 && read.session == 0xbeef && read.sent == ReflectionTests.time + 2000)
      #expect(read.residence == (size < 38 ? nil : 1000))
      #expect((Reflection(payload: bytes) == nil) == (size < 38), "\(size)")
      #expect(Reflection(payload: Array(bytes.dropLast()), ofRequest: size) == nil || size > 38, "\(size)")
      #expect(Reflection(payload: bytes, ofRequest: size, key: key) == nil)
    }
    #expect(Reflection(payload: Array(whole.prefix(15)), ofRequest: 0) == nil)
  }

  /// Whoever echoes a packet is no reflector.
  @Test func anEchoIsNoAnswer() {
    #expect(Reflection(payload: packet.bytes(size: 44)) == nil)
    #expect(Reflection(payload: packet.bytes(size: 112, key: key), key: key) == nil)
  }

  @Test func errorsAreRoundedUp() {
    for microseconds in [0, 1, 17, 255, 500_000, 16_000_000] {
      let estimate = ErrorEstimate(isSynchronized: microseconds % 2 == 1, microseconds: microseconds)
      let wanted = Double(microseconds) / 1e6
      #expect(estimate.seconds >= wanted && estimate.seconds <= wanted * 1.02 + 1e-9, "\(microseconds)")
      #expect(estimate.isPTP && estimate.isSynchronized == (microseconds % 2 == 1) && estimate.bits & 255 > 0)
    }
  }

  @Test func rangesOfAddresses() throws {
    func v4(_ bytes: UInt8...) -> [UInt8] { ReflectionTests.zeros(10) + [0xff, 0xff] + bytes }
    let range = try #require(AddressRange("10.1.128.0/17"))
    #expect(range.contains(v4(10, 1, 128, 1)) && range.contains(v4(10, 1, 255, 255)))
    #expect(!range.contains(v4(10, 1, 127, 255)) && !range.contains(ReflectionTests.zeros(16)))
    #expect(AddressRange("10.0.0.7")?.contains(v4(10, 0, 0, 7)) == true)
    #expect(AddressRange("10.0.0.7")?.contains(v4(10, 0, 0, 6)) == false)
    #expect(AddressRange("0.0.0.0/0")?.contains(v4(1, 2, 3, 4)) == true)
    #expect(AddressRange("fd00::/8")?.contains([0xfd] + ReflectionTests.zeros(15)) == true)
    #expect(AddressRange("fd00::/8")?.contains([0xfe] + ReflectionTests.zeros(15)) == false)
    for text in ["", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/8/8", "host"] {
      #expect(AddressRange(text) == nil, "\(text)")
    }
  }

  @Test func sessionsAreNumberedAndBounded() {
    var numbers = SessionNumbers()
    func key(_ session: Int) -> SessionNumbers.Key {
      SessionNumbers.Key([UInt8](repeating: 1, count: 16), UInt16(session & 0xffff), UInt16(session >> 16))
    }
    let busy = key(1 << 17)
    for number in 0..<UInt32(5 * SessionNumbers.limit) {
      let (first, other) = (numbers.next(busy), numbers.next(key(Int(number))))
      #expect(first == number && other == 0)
    }
    // Long forgotten.
    let again = [numbers.next(key(0)), numbers.next(key(0))]
    #expect(again == [0, 1])
  }

  @Test func soManyASecond() {
    var bucket = TokenBucket(rate: 100)
    var taken = 0
    for millisecond in 0..<10_000 where bucket.take(Int64(millisecond) * 1_000_000) { taken += 1 }
    #expect(1000...1010 ~= taken, "\(taken)")
    let more = bucket.take(9_999_000_000)
    #expect(!more)
  }
}
