// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
internal import Glibc

/// An open file descriptor; closed with its owner.
struct Descriptor: ~Copyable {
  let number: Int32
  init(_ number: Int32) { self.number = number }
  deinit { close(number) }

  /// The number, to be closed by somebody else.
  consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }
}

/// Nanoseconds that the other side may take; tests wait less.
package struct Patience: Sendable {
  /// For a step of the conversation that needs nothing but the other program's attention.
  var step: Int64 = 10_000_000_000
  /// For loading programs, which under emulation takes its time.
  var preparation: Int64 = 120_000_000_000
  /// While files are sent: the host writes them to its disk and waits until they are there.
  var files: Int64 = 30_000_000_000
  /// Without an answer, after which a guest counts as lost.
  var silence: Int64 = 10_000_000_000
  /// From the end of the host's recording: for the end of the guest's and its files, beside the time that these take
  /// (``RemoteGuest/leastRate``).
  package var grace: Int64 = 5_000_000_000

  package init() {}
}

/// A byte stream to the other side, cut into frames that are numbered and, with a key, sealed.
///
/// Every wait has an end. After an error the connection is of no use any more. For one thread at a time.
package struct Connection: ~Copyable {
  /// Who is at the other end, for people.
  package let peer: String
  /// Where it comes from, by which many connections of one are told; empty where there is but one place.
  let address: String
  let mayHoldOldBytes: Bool
  /// CLOCK_MONOTONIC_RAW at which all waiting ends, however the other side hands its bytes out; nil: none.
  var deadline: Int64?
  var patience = Patience()
  /// CLOCK_MONOTONIC_RAW after the read that completed the last message, nanoseconds: bytes of one that is never whole
  /// are as good as silence.
  private(set) var receivedAt: Int64 = 0
  /// The same of the last read.
  private var readAt: Int64 = 0
  /// The other side's latprobe; empty before the handshake.
  package internal(set) var peerVersion = ""
  private let descriptor: Descriptor
  private let isSocket: Bool
  /// What has come; all before `consumed` was taken out.
  private var inbox: [UInt8] = []
  private var consumed = 0
  private var sent: UInt64 = 0
  private var received: UInt64 = 0
  private var outgoing: Seal?
  private var incoming: Seal?
  private var chunk = [UInt8](repeating: 0, count: Frame.limit)

  /// - Parameter descriptor: a connected socket or an open port; owned from now on, and non-blocking.
  package init(_ descriptor: Int32, peer: String, address: String = "", mayHoldOldBytes: Bool = false) {
    self.descriptor = Descriptor(descriptor)
    (self.peer, self.address) = (peer, address)
    self.mayHoldOldBytes = mayHoldOldBytes
    var status = stat()
    isSocket = unsafe fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    let flags = fcntl(descriptor, F_GETFL)
    if flags >= 0 { _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
  }

  static var now: Int64 { Instant<MonotonicRaw>.now.nanoseconds }

  var number: Int32 { descriptor.number }

  /// What was said last is read by the other side even if that still speaks: closed with bytes unread, a connection may
  /// lose what was sent.
  mutating func endInOrder() {
    shutdown(descriptor.number, Int32(SHUT_WR))
    _ = unsafe read(descriptor.number, &chunk, chunk.count)
  }

  mutating func seal(outgoing: Seal, incoming: Seal) {
    self.outgoing = outgoing
    self.incoming = incoming
  }

  // MARK: - Messages

  /// - Parameter timeout: nanoseconds until the other side must have taken it; nil for those of a step.
  mutating func send(_ message: Message, within timeout: Int64? = nil) throws(RemoteError) {
    try send(type: message.kind.rawValue, message.payload, within: timeout)
  }

  /// - Returns: nil if nothing came within `timeout` nanoseconds.
  mutating func receive(within timeout: Int64) throws(RemoteError) -> Message? {
    guard let frame = try frame(within: timeout) else { return nil }
    do throws(RemoteError) { return try Message(type: frame.type, payload: frame.payload) } catch {
      throw RemoteError(error.kind, "\(peer): \(error)")
    }
  }

  /// Says why this is the end, as far as the other side still listens; who does not is not waited for.
  mutating func fail(_ reason: String) { try? send(.failed(reason), within: 200_000_000) }

  // MARK: - Frames

  /// - Returns: CLOCK_MONOTONIC_RAW just before the first write, nanoseconds.
  @discardableResult
  mutating func send(type: UInt8, _ payload: [UInt8], within timeout: Int64? = nil) throws(RemoteError) -> Int64 {
    guard payload.count <= Frame.payloadLimit else { throw .violation("a message of \(payload.count) bytes") }
    let bytes = Frame(type: type, number: sent, payload: payload).encoded(seal: outgoing)
    sent += 1
    let start = Connection.now
    var done = 0
    while done < bytes.count {
      let count = put(bytes[done...])
      if count > 0 {
        done += count
      } else if count < 0 && errno == EINTR {
        continue
      } else if count < 0 && errno == EAGAIN {
        guard try wait(POLLOUT, until: start + (timeout ?? patience.step)) else {
          throw RemoteError(.timeout, "\(peer) takes nothing any more")
        }
      } else {
        throw RemoteError.system("\(peer): the connection is lost", count == 0 ? EPIPE : errno)
      }
    }
    return start
  }

  /// write(2), but no signal where the other side has closed its socket.
  private func put(_ bytes: ArraySlice<UInt8>) -> Int {
    unsafe bytes.withUnsafeBytes { bytes in
      isSocket
        ? unsafe Glibc.send(descriptor.number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        : unsafe write(descriptor.number, bytes.baseAddress, bytes.count)
    }
  }

  mutating func frame(within timeout: Int64) throws(RemoteError) -> Frame? {
    let end = Connection.now + timeout
    while true {
      if let (frame, size) = try Frame.decode(inbox[consumed...], seal: incoming) {
        consumed += size
        guard frame.number == received else {
          throw .violation("\(peer) sent frame \(frame.number) where \(received) belongs")
        }
        received += 1
        receivedAt = readAt
        return frame
      }
      guard try fill(until: end) else { return nil }
    }
  }

  /// Throws away what lies before the next frame that carries `magic` at the start of its payload.
  ///
  /// - Returns: whether there is one now.
  mutating func skip(to magic: [UInt8], within timeout: Int64) throws(RemoteError) -> Bool {
    let end = Connection.now + timeout
    while true {
      let bytes = Array(inbox[consumed...])
      let at = Frame.headerSize
      let last = bytes.count - magic.count
      let found = last < at ? nil : (at...last).first { bytes[$0..<($0 + magic.count)].elementsEqual(magic) }
      if let found {
        (inbox, consumed) = (Array(bytes[(found - at)...]), 0)
        return true
      }
      // The magic may have come in part.
      (inbox, consumed) = (bytes.suffix(at + magic.count - 1), 0)
      guard Connection.now < end, try fill(until: end) else { return false }
    }
  }

  /// Reads what there is; false if nothing came in time.
  private mutating func fill(until end: Int64) throws(RemoteError) -> Bool {
    while true {
      let count = unsafe read(descriptor.number, &chunk, chunk.count)
      let time = Connection.now
      if count > 0 {
        readAt = time
        // Once for each frame, and not for each byte that drips in.
        if consumed > 0 { inbox.removeFirst(consumed) }
        consumed = 0
        inbox += chunk[..<count]
        return true
      }
      if count == 0 { throw RemoteError(.connection, "\(peer) has closed the connection") }
      if errno == EINTR { continue }
      guard errno == EAGAIN else { throw RemoteError.system("\(peer): the connection is lost", errno) }
      guard try wait(POLLIN, until: end) else { return false }
    }
  }

  /// False after `end` (CLOCK_MONOTONIC_RAW).
  private func wait(_ events: Int32, until end: Int64) throws(RemoteError) -> Bool {
    let end = min(end, deadline ?? .max)
    while true {
      let rest = end - Connection.now
      guard rest > 0 else { return false }
      var entry = pollfd(fd: descriptor.number, events: Int16(events), revents: 0)
      let count = unsafe poll(&entry, 1, Int32(clamping: (rest + 999_999) / 1_000_000))
      if count > 0 { return true }
      if count < 0 && errno != EINTR { throw RemoteError.system("\(peer): poll", errno) }
    }
  }
}
