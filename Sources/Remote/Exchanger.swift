// SPDX-License-Identifier: GPL-2.0-or-later
internal import Recording

/// Pairs questions and answers about time and judges them. Pure; one question at a time.
///
/// Times are nanoseconds of CLOCK_MONOTONIC_RAW, each of its own machine.
struct Exchanger {
  enum Result: Equatable {
    case exchange(ClockExchange)
    /// The answer to a question that was given up.
    case late
    /// The guest's clock runs backwards, or it claims to have had the question for longer than the answer took.
    case wrong
  }

  private let peer: UInt32
  private var id: UInt64 = 0
  /// When the question went out; nil while none is open.
  private var sent: Int64?
  /// The guest's two times in the last answer. It may read several questions at once, so that the second came before
  /// the first was answered.
  private var last: (received: Int64, sent: Int64) = (0, 0)

  init(peer: UInt32) { self.peer = peer }

  var isWaiting: Bool { sent != nil }

  /// The next question's number.
  mutating func next() -> UInt64 {
    id += 1
    return id
  }

  mutating func sent(at time: Int64) { sent = time }
  mutating func giveUp() { sent = nil }

  /// - Parameters:
  ///   - time: when the answer was there.
  ///   - monotonic: the same moment on CLOCK_MONOTONIC.
  mutating func answer(
    id: UInt64, peerReceived: Int64, peerSent: Int64, at time: Int64, monotonic: Int64
  ) throws(RemoteError) -> Result {
    let begin = id == self.id ? sent : nil
    guard id <= self.id, time >= begin ?? time else {
      throw .violation("an answer about time to a question that had not been put")
    }
    if begin != nil { sent = nil }
    guard peerReceived >= last.received, peerSent >= max(last.sent, peerReceived) else { return .wrong }
    last = (peerReceived, peerSent)
    guard let begin else { return .late }
    let whole = time - begin
    // Clocks that differ by 1 000 ppm and 1 µs of rounding explain no more than this.
    guard peerSent - peerReceived <= whole + whole / 1000 + 1000 else { return .wrong }
    return .exchange(
      ClockExchange(
        time: UInt64(clamping: monotonic), peer: peer, sent: begin, peerReceived: peerReceived, peerSent: peerSent,
        received: time))
  }
}
