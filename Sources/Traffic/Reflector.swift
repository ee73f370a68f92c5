// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTraffic
internal import Clocks
internal import Glibc
package import TestPackets

package struct ReflectorOptions: Sendable {
  /// Answers are numbered by session, which tells on which way packets were lost; else they have the sender's number.
  package var isStateful = false
  /// Only authenticated packets are answered.
  package var key: TestKey?
  /// Who is answered; empty: everybody.
  package var allowed: [AddressRange] = []
  /// Most answers a second, to all together.
  package var rateLimit = 100_000.0

  package init() {}
}

/// What became of the packets that came to a reflector.
package struct ReflectorCounts: Sendable, Hashable {
  package var received = 0
  package var answered = 0
  /// Too short for an answer that is no longer and still tells the sender which packet it is for.
  package var short = 0
  /// Without the right code where a key is set.
  package var unauthenticated = 0
  package var notAllowed = 0
  /// From a port that only services have, or to many.
  package var suspicious = 0
  /// Answers of another reflector, or this one's own.
  package var answers = 0
  /// Beyond what a source is answered beside its count.
  package var repeated = 0
  package var overRate = 0
  /// Refused by the stack.
  package var failed = 0
  /// Dropped by the kernel, since this program did not read them in time; not among those received.
  package var dropped = 0

  package init() {}

  /// Those that are not 0, in words.
  package var text: String {
    let counts = [
      (short, "too short"), (unauthenticated, "not authentic"), (notAllowed, "not from an --allow'ed address"),
      (suspicious, "from a service's port or to a broadcast address"), (answers, "answers themselves"),
      (repeated, "no test's next packet (a loop?)"), (overRate, "over --rate-limit"),
      (failed, "refused by the stack"), (dropped, "more that came too fast and found no room"),
    ]
    return (["\(received) packets, \(answered) answered"] + counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" })
      .joined(separator: ", ")
  }
}

/// Answers STAMP test packets (RFC 8762), unauthenticated ones or authenticated ones.
///
/// Anybody may send it anything, in anybody's name: no answer is longer than what it answers, none goes to a port below 1024
/// (where services are that answer whatever comes) or to an answer, those that may be a loop with another program end
/// (``AnsweredSources``), and only so many a second leave.
package struct Reflector: ~Copyable {
  private let descriptor: Int32
  private let options: ReflectorOptions
  private var buffer = [UInt8](repeating: 0, count: 65536)
  private var sessions = SessionNumbers()
  private var sources = AnsweredSources()
  private var bucket: TokenBucket
  private var error = ErrorEstimate.now()
  private var nextError: Int64 = 0
  package let port: UInt16
  package private(set) var counts = ReflectorCounts()

  /// - Parameter address: where to listen; nil: everywhere.
  package init(host: String?, port: UInt16, options: ReflectorOptions) throws(TrafficError) {
    var result: Int32 = -EAFNOSUPPORT
    for name in host.map({ [$0] }) ?? ["::", "0.0.0.0"] where result == -EAFNOSUPPORT {
      var address = lp_peer()
      let found = unsafe lp_peer_find(name, "\(port)", &address)
      guard found == 0 else {
        throw TrafficError("address '\(name)' is not known: \(unsafe String(cString: gai_strerror(found)))")
      }
      result = unsafe lp_reflector_open(&address)
    }
    guard result >= 0 else {
      let remedy =
        switch -result {
        case EADDRINUSE:
          "; another reflector? 'ss -lunp' tells whose it is; stop that, or choose another port below 1024 with --listen"
        case EACCES: "; ports below 1024 need root or CAP_NET_BIND_SERVICE: run with sudo, or grant it"
        case EADDRNOTAVAIL:
          "; 'ip address' shows those of this machine"
            + (host.flatMap(Destination.meant).map { "; did you mean \($0)?" } ?? "")
        default: ""
        }
      throw TrafficError(
        "cannot listen on \(host ?? "all addresses"), port \(port): \(unsafe String(cString: strerror(-result)))\(remedy)"
      )
    }
    descriptor = result
    self.port = UInt16(truncatingIfNeeded: lp_reflector_port(result))
    self.options = options
    bucket = TokenBucket(rate: options.rateLimit)
  }

  deinit { close(descriptor) }

  /// Answers until `stopRequested`.
  package mutating func run(stopRequested: () -> Bool) throws(TrafficError) {
    while !stopRequested() {
      let now = Instant<Monotonic>.now.nanoseconds
      if now >= nextError { (error, nextError) = (ErrorEstimate.now(), now + 1_000_000_000) }
      _ = lp_udp_wait_until(descriptor, now + 100_000_000)
      // Now and then the outer loop is to run, however much comes in.
      for _ in 0..<1000 where try !answerOne() { break }
      counts.dropped = Int(lp_udp_drops(descriptor))
    }
  }

  /// - Returns: false where nothing is there.
  private mutating func answerOne() throws(TrafficError) -> Bool {
    var request = lp_request()
    let result = unsafe lp_reflector_receive(descriptor, &buffer, UInt32(buffer.count), &request)
    if result == -ECONNREFUSED || result == -EHOSTUNREACH || result == -ENETUNREACH { return true }
    guard result >= 0 else {
      throw TrafficError("packets cannot be read: \(unsafe String(cString: strerror(-result)))")
    }
    guard result > 0 else { return false }
    counts.received += 1
    let now = Instant<Monotonic>.now.nanoseconds
    let received = request.time_ns != 0 ? request.time_ns : Instant<Realtime>.now.nanoseconds
    guard request.port >= 1024, request.is_for_many == 0 else {
      counts.suspicious += 1
      return true
    }
    let address = unsafe withUnsafeBytes(of: request.address) { unsafe Array($0) }
    guard options.allowed.isEmpty || options.allowed.contains(where: { $0.contains(address) }) else {
      counts.notAllowed += 1
      return true
    }
    let bytes = Array(buffer.prefix(Int(request.length)))
    // Beside a number of its own, a cut answer has no room for the sender's.
    let least = options.isStateful || options.key != nil ? Reflection.shortest : TestPacket.smallestCut
    guard bytes.count >= least, request.is_cut == 0 else {
      counts.short += 1
      return true
    }
    if let key = options.key, !key.isValid(bytes) {
      counts.unauthenticated += 1
      return true
    }
    let isAuthenticated = options.key != nil
    let asked = Instant<Realtime>.now.nanoseconds
    guard !Reflection.isAnswer(bytes, isAuthenticated: isAuthenticated, now: asked) else {
      counts.answers += 1
      return true
    }
    let source = AnsweredSources.Key(address, request.port)
    guard sources.mayAnswer(source, bytes, at: now) else {
      counts.repeated += 1
      return true
    }
    // Last, so that what is not answered takes nothing from others.
    guard bucket.take(now) else {
      counts.overRate += 1
      return true
    }
    let session = TestPacket(payload: bytes, isAuthenticated: isAuthenticated)?.session ?? 0
    let number = options.isStateful ? sessions.next(SessionNumbers.Key(address, request.port, session)) : nil
    let answer = Reflection.answer(
      to: bytes, sequence: number, received: received, sent: Instant<Realtime>.now.nanoseconds, error: error,
      ttl: request.ttl, key: options.key)
    if unsafe lp_reflector_reply(descriptor, &request, answer, UInt32(answer.count)) == 0 {
      counts.answered += 1
      let time = Reflection.Places(isAuthenticated: isAuthenticated).time
      sources.answered(source, with: answer[time..<time + 8])
    } else {
      counts.failed += 1
    }
    return true
  }
}

/// The number of the next answer of each session; bounded, since anybody may open sessions.
struct SessionNumbers {
  struct Key: Hashable {
    private let address: [UInt8]
    private let port: UInt16
    private let session: UInt16

    init(_ address: [UInt8], _ port: UInt16, _ session: UInt16) {
      (self.address, self.port, self.session) = (address, port, session)
    }
  }

  static let limit = 4096
  private var numbers = Generations<Key, UInt32>(limit: limit)

  mutating func next(_ key: Key) -> UInt32 {
    let number = numbers[key] ?? 0
    numbers[key] = number &+ 1
    return number
  }
}

/// So many a second, and a tenth of a second's at once.
struct TokenBucket {
  private let rate: Double
  private var tokens: Double
  private var last: Int64?

  init(rate: Double) {
    self.rate = rate
    tokens = max(1, rate / 10)
  }

  /// - Parameter now: CLOCK_MONOTONIC, nanoseconds.
  mutating func take(_ now: Int64) -> Bool {
    tokens = min(max(1, rate / 10), tokens + Double(now - (last ?? now)) * rate / 1e9)
    last = now
    guard tokens >= 1 else { return false }
    tokens -= 1
    return true
  }
}
