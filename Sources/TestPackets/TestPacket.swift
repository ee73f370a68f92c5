// SPDX-License-Identifier: GPL-2.0-or-later

/// A test packet of a STAMP sender (RFC 8762, section 4.2), as UDP payload.
///
/// Unauthenticated: sequence number 0–3, time stamp 4–11, error estimate 12–13, SSID 14–15, zero from 16 on.
/// Authenticated: sequence number 0–3, time stamp 16–23, error estimate 24–25, SSID 26–27, code 96–111, zero elsewhere.
///
/// An unauthenticated one may be cut behind the SSID, so that it fits into a frame of 64 bytes (docs/decisions/0010).
package struct TestPacket: Sendable, Hashable {
  package static let smallest = 44
  package static let smallestCut = 16
  package static let smallestAuthenticated = 112
  package static let port: UInt16 = 862

  package var sequence: UInt32
  /// Nanoseconds of CLOCK_REALTIME, from 1970 until 2106.
  package var time: Int64
  package var error: ErrorEstimate
  /// Tells sessions between the same ports apart.
  package var session: UInt16

  package init(
    sequence: UInt32, time: Int64,
    error: ErrorEstimate = ErrorEstimate(isSynchronized: false, microseconds: 16_000_000),
    session: UInt16 = 0
  ) {
    (self.sequence, self.time, self.error, self.session) = (sequence, time, error, session)
  }

  /// - Parameter size: bytes, the smallest packet's at least; all behind the fields is zero.
  package func bytes(size: Int, key: TestKey? = nil) -> [UInt8] {
    let smallest = key == nil ? TestPacket.smallestCut : TestPacket.smallestAuthenticated
    var bytes = [UInt8](repeating: 0, count: max(size, smallest))
    let at = key == nil ? 4 : 16
    Field.put(sequence, at: 0, in: &bytes)
    Field.put(time: time, at: at, in: &bytes)
    Field.put(error.bits, at: at + 8, in: &bytes)
    Field.put(session, at: at + 10, in: &bytes)
    key?.sign(&bytes)
    return bytes
  }

  /// From a payload that has at least all up to the SSID. The code is not looked at.
  package init?(payload: some Collection<UInt8>, isAuthenticated: Bool = false) {
    let bytes = Array(payload.prefix(28))
    let at = isAuthenticated ? 16 : 4
    guard bytes.count >= at + 12 else { return nil }
    let error = ErrorEstimate(bits: Field.half(bytes, at + 8))
    self.init(
      sequence: Field.word(bytes, 0), time: Field.time(bytes, at, isPTP: error.isPTP), error: error,
      session: Field.half(bytes, at + 10))
  }
}

/// What a STAMP reflector answers (RFC 8762, section 4.3).
///
/// Unauthenticated: sequence number 0–3, time stamp 4–11, error estimate 12–13, SSID 14–15, receive time stamp 16–23, then the
/// sender's sequence number 24–27, time stamp 28–35, error estimate 36–37 and TTL 40. Authenticated: 0, 16, 24, 26, 32; 48,
/// 64, 72, 80; code 96–111.
package struct Reflection: Sendable, Hashable {
  /// With all that tells the sender's packet, but without the TTL, as some TWAMP Light reflectors answer. What is shorter is
  /// cut: its sequence number must be the sender's.
  package static let shortest = 38

  package var sequence: UInt32
  /// Before the answer was handed to the stack; nanoseconds of the reflector's clock since 1970.
  package var sent: Int64
  package var error: ErrorEstimate
  package var session: UInt16
  /// Nil in a cut answer, and where the reflector left it 0.
  package var received: Int64?
  package var senderSequence: UInt32
  /// Too short for the sender's fields and the time at which the request came.
  package var isCut = false
  /// More nanoseconds than a second has, where Z says that they are some.
  package private(set) var hasWrongNanoseconds = false

  /// - Parameter size: bytes of the request; only those that are cut have cut answers.
  /// - Returns: nil for what is none, or not authentic.
  package init?(payload: [UInt8], ofRequest size: Int = TestPacket.smallest, key: TestKey? = nil) {
    let least =
      key == nil
      ? min(max(size, TestPacket.smallestCut), Reflection.shortest) : TestPacket.smallestAuthenticated
    guard payload.count >= least, key?.isValid(payload) ?? true else { return nil }
    let places = Places(isAuthenticated: key != nil)
    sequence = Field.word(payload, 0)
    error = ErrorEstimate(bits: Field.half(payload, places.time + 8))
    sent = Field.time(payload, places.time, isPTP: error.isPTP)
    session = Field.half(payload, places.time + 10)
    let second: UInt32 = 1_000_000_000
    hasWrongNanoseconds = error.isPTP && Field.word(payload, places.time + 4) >= second
    guard payload.count >= Reflection.shortest else {
      (senderSequence, isCut) = (sequence, true)
      return
    }
    // No answer says nothing of its request: whoever echoes what comes is no reflector.
    guard payload[places.senderSequence..<places.senderTime + 10].contains(where: { $0 != 0 }) else { return nil }
    if payload[places.received..<places.received + 8].contains(where: { $0 != 0 }) {
      received = Field.time(payload, places.received, isPTP: error.isPTP)
      if error.isPTP, Field.word(payload, places.received + 4) >= second { hasWrongNanoseconds = true }
    }
    senderSequence = Field.word(payload, places.senderSequence)
  }

  /// Nanoseconds that the reflector had the packet; nil where the answer does not say.
  package var residence: Int64? { received.map { sent &- $0 } }

  /// The answer to a request, as long as that.
  ///
  /// The sender's own fields are handed back as they came, whatever their format. What is behind the packet is
  /// handed back too: extensions (RFC 8972) are marked as not understood by their sender already. A cut answer tells no
  /// error, so that it is known for an answer: ``cutMark``.
  ///
  /// - Parameters:
  ///   - request: the bytes of the smallest cut packet at least; with a key, those of the smallest authenticated one.
  ///   - sequence: nil hands back the sender's, as it must for a cut request.
  package static func answer(
    to request: [UInt8], sequence: UInt32?, received: Int64, sent: Int64, error: ErrorEstimate, ttl: UInt8,
    key: TestKey?
  ) -> [UInt8] {
    let places = Places(isAuthenticated: key != nil)
    let size = key == nil ? TestPacket.smallest : TestPacket.smallestAuthenticated
    var bytes = [UInt8](repeating: 0, count: size)
    Field.put(sequence ?? Field.word(request, 0), at: 0, in: &bytes)
    Field.put(time: sent, at: places.time, in: &bytes)
    let isCut = key == nil && request.count < shortest
    Field.put(isCut ? error.bits & 0xc000 | cutMark : error.bits, at: places.time + 8, in: &bytes)
    Field.put(Field.half(request, places.time + 10), at: places.time + 10, in: &bytes)
    Field.put(time: received, at: places.received, in: &bytes)
    bytes.replaceSubrange(places.senderSequence..<places.senderSequence + 4, with: request[0..<4])
    bytes.replaceSubrange(
      places.senderTime..<places.senderTime + 10, with: request[places.time..<places.time + 10])
    bytes[places.ttl] = ttl
    key?.sign(&bytes)
    return request.count <= size ? Array(bytes.prefix(request.count)) : bytes + request[size...]
  }

  package struct Places {
    package let time, received, senderSequence, senderTime, ttl: Int

    package init(isAuthenticated: Bool) {
      (time, received, senderSequence, senderTime, ttl) = isAuthenticated ? (16, 32, 48, 64, 80) : (4, 16, 24, 28, 40)
    }
  }
}
