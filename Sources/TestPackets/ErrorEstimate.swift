// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTraffic

/// How far a time stamp may be off (RFC 4656, section 4.1.2): S, Z, six bits of scale, eight of multiplier;
/// multiplier · 2^scale · 2^-32 s.
package struct ErrorEstimate: Sendable, Hashable {
  package var bits: UInt16

  package init(bits: UInt16) { self.bits = bits }

  /// Rounded up to what the format can say.
  ///
  /// - Parameter microseconds: bound of the error, as the kernel counts it.
  package init(isSynchronized: Bool, microseconds: Int) {
    var units = (Double(max(microseconds, 0)) * 4294.967296).rounded(.up)
    var scale: UInt16 = 0
    while units > 255 { (units, scale) = ((units / 2).rounded(.up), scale + 1) }
    bits = (isSynchronized ? 0x8000 : 0) | 0x4000 | min(scale, 63) << 8 | UInt16(max(units, 1))
  }

  /// Of CLOCK_REALTIME now: the kernel's maxerror, which grows until whoever disciplines the clock has news.
  package static func now() -> ErrorEstimate {
    var isSynchronized: Int32 = 0
    let error = unsafe lp_clock_error(&isSynchronized)
    return ErrorEstimate(isSynchronized: isSynchronized != 0, microseconds: Int(error))
  }

  package var isSynchronized: Bool { bits & 0x8000 != 0 }
  /// Whether times are PTPv2's seconds and nanoseconds, not NTP's.
  package var isPTP: Bool { bits & 0x4000 != 0 }
  package var seconds: Double {
    var value = Double(bits & 255) / 4_294_967_296
    for _ in 0..<(bits >> 8 & 63) { value *= 2 }
    return value
  }
}

/// Big-endian fields of test packets.
package enum Field {
  package static func put(_ word: UInt32, at place: Int, in bytes: inout [UInt8]) {
    for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32(index))) }
  }

  package static func put(_ half: UInt16, at place: Int, in bytes: inout [UInt8]) {
    (bytes[place], bytes[place + 1]) = (UInt8(half >> 8), UInt8(half & 255))
  }

  /// PTPv2's truncated format: seconds since 1970, nanoseconds.
  static func put(time: Int64, at place: Int, in bytes: inout [UInt8]) {
    put(UInt32(truncatingIfNeeded: time / 1_000_000_000), at: place, in: &bytes)
    put(UInt32(time % 1_000_000_000), at: place + 4, in: &bytes)
  }

  package static func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }

  package static func half(_ bytes: [UInt8], _ at: Int) -> UInt16 { UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1]) }

  /// NTP counts seconds from 1900 on, others from 1970.
  static let secondsFrom1900: UInt32 = 2_208_988_800

  /// Nanoseconds since 1970. NTP counts from 1900, in parts of 2^-32 s.
  static func time(_ bytes: [UInt8], _ at: Int, isPTP: Bool) -> Int64 {
    let (seconds, rest) = (Int64(word(bytes, at)), Int64(word(bytes, at + 4)))
    if isPTP { return seconds * 1_000_000_000 + rest }
    return (seconds - Int64(secondsFrom1900)) * 1_000_000_000 + (rest * 1_000_000_000) >> 32
  }
}
