// SPDX-License-Identifier: GPL-2.0-or-later

extension Reflection {
  /// Error estimate of a cut answer, but for S and Z: a multiplier of 0, which no packet of a sender has (RFC 4656, section
  /// 4.1.2), at the largest scale.
  static let cutMark: UInt16 = 0x3f00
  /// Seconds by which the times of one answer differ at most.
  private static let span: UInt32 = 60

  /// Whether a packet that came to a reflector is an answer, of this reflector or of another one.
  ///
  /// Where an answer says when the request came and when that had left, a STAMP sender's packet has zeros and a TWAMP Light
  /// sender's anything: so they must be times, near to the others.
  ///
  /// - Parameters:
  ///   - bytes: those of the smallest cut packet at least.
  ///   - now: CLOCK_REALTIME, nanoseconds.
  package static func isAnswer(_ bytes: [UInt8], isAuthenticated: Bool, now: Int64) -> Bool {
    let places = Places(isAuthenticated: isAuthenticated)
    if bytes.count < shortest, Field.half(bytes, places.time + 8) & 0x3fff == cutMark { return true }
    func isNear(_ one: UInt32, _ other: UInt32) -> Bool { min(one &- other, other &- one) <= span }
    if bytes.count >= places.received + 8 {
      let sent = bytes[places.time..<places.time + 8]
      let received = bytes[places.received..<places.received + 8]
      // The same bytes all over are padding.
      if Field.word(bytes, places.received) != 0, !sent.elementsEqual(received),
        isNear(Field.word(bytes, places.time), Field.word(bytes, places.received))
      {
        return true
      }
    }
    guard bytes.count >= places.senderTime + 8 else { return false }
    // A reflector that does not say when the request came hands at least our own time back.
    let seconds = UInt32(truncatingIfNeeded: now / 1_000_000_000)
    let request = Field.word(bytes, places.senderTime)
    return isNear(request, seconds) || isNear(request, seconds &+ Field.secondsFrom1900)
  }
}
