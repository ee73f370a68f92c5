// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTraffic
internal import TestPackets

/// What each source was answered lately, so that two programs that answer each other come to an end.
///
/// A question is a step of its sender's count, and owes nothing to the answers before it. What is none of that, such as the
/// same number again and again, may be a loop that a forged packet began: of those a source has a few to spare, and one more
/// a second. A loop goes round more often than that, and one packet that is not answered ends it.
///
/// A service may also take another port for each of its answers: so the sources of one address begin so often only, too.
///
/// Bounded, since anybody may forge sources.
struct AnsweredSources {
  struct Key: Hashable {
    fileprivate let address: [UInt64]
    private let port: UInt16

    /// - Parameter address: 16 bytes.
    init(_ address: [UInt8], _ port: UInt16) {
      func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
      (self.address, self.port) = ([word(address[..<8]), word(address[8...])], port)
    }
  }

  static let limit = 2048
  private var sources = Generations<Key, Source>(limit: limit)
  private var beginnings = Generations<[UInt64], Allowance>(limit: limit)

  /// Whether a packet may be answered, which it then is.
  ///
  /// - Parameter now: CLOCK_MONOTONIC, nanoseconds.
  mutating func mayAnswer(_ key: Key, _ packet: [UInt8], at now: Int64) -> Bool {
    guard let source = sources[key] else {
      var allowance = beginnings[key.address] ?? Allowance(atOnce: 256, aSecond: 10, now)
      defer { beginnings[key.address] = allowance }
      guard allowance.take(now) else { return false }
      sources[key] = Source(Field.word(packet, 0), now)
      return true
    }
    let isNext = source.step(Field.word(packet, 0)) && !source.isMadeOfAnswers(packet)
    return isNext || source.takeSpare(now)
  }

  /// - Parameter time: what the answer says of when it left.
  mutating func answered(_ key: Key, with time: ArraySlice<UInt8>) { sources[key]?.answered(with: time) }
}

/// What is remembered of many: of two generations the older is forgotten once the newer is full, so that what is in use
/// stays.
struct Generations<Key: Hashable, Value> {
  private let limit: Int
  private var recent: [Key: Value] = [:]
  private var older: [Key: Value] = [:]

  init(limit: Int) { self.limit = limit }

  subscript(key: Key) -> Value? {
    mutating get {
      if let known = recent[key] { return known }
      guard let known = older[key] else { return nil }
      put(key, known)
      return known
    }
    set { if let newValue { put(key, newValue) } }
  }

  private mutating func put(_ key: Key, _ value: Value) {
    if recent[key] == nil, recent.count >= limit { (older, recent) = (recent, [:]) }
    recent[key] = value
  }
}

/// So many at once, and so many more a second.
private struct Allowance {
  private let atOnce, aSecond: Double
  private var left: Double
  private var refilledAt: Int64

  /// - Parameter now: CLOCK_MONOTONIC, nanoseconds.
  init(atOnce: Double, aSecond: Double, _ now: Int64) {
    (self.atOnce, self.aSecond, left, refilledAt) = (atOnce, aSecond, atOnce, now)
  }

  mutating func take(_ now: Int64) -> Bool {
    left = min(atOnce, left + Double(now - refilledAt) * aSecond / 1e9)
    refilledAt = now
    guard left >= 1 else { return false }
    left -= 1
    return true
  }
}

/// One address and port.
private final class Source {
  /// Numbers below the highest one that are told from those of a new count.
  private static let window = 4096
  /// How far a count may go on at once; so many are lost in a second of 1 000 000 packets/s.
  private static let leap: Int32 = 1 << 20
  /// The path may make copies of a packet.
  private static let copies: UInt8 = 4
  /// Times of answers that are looked for.
  private static let remembered = 4

  private var highest: UInt32
  /// How often each number was answered; empty where there has been but one packet.
  private var counts: [UInt8] = []
  private var spare: Allowance
  private var times: [[UInt8]] = []
  private var nextTime = 0

  init(_ number: UInt32, _ now: Int64) { (highest, spare) = (number, Allowance(atOnce: 64, aSecond: 1, now)) }

  /// Whether the number is a step of the count so far, an overtaken one, or one of a few copies.
  func step(_ number: UInt32) -> Bool {
    if counts.isEmpty {
      counts = Array(repeating: 0, count: Source.window)
      counts[Source.place(highest)] = 1
    }
    let ahead = Int32(bitPattern: number &- highest)
    if ahead > 0, ahead <= Source.leap {
      for between in 1...UInt32(min(ahead, Int32(Source.window))) { counts[Source.place(number &- between &+ 1)] = 0 }
      highest = number
    } else if ahead > 0 || ahead <= -Int32(Source.window) {
      counts = Array(repeating: 0, count: Source.window)
      counts[Source.place(number)] = 1
      highest = number
      return false
    }
    let place = Source.place(number)
    guard counts[place] < Source.copies else { return false }
    counts[place] += 1
    return true
  }

  private static func place(_ number: UInt32) -> Int { Int(number % UInt32(window)) }

  /// Whether the time of an answer that went to the source is in it: whoever made it copied that.
  func isMadeOfAnswers(_ packet: [UInt8]) -> Bool {
    times.contains { unsafe lp_contains(packet, UInt32(packet.count), $0, UInt32($0.count)) != 0 }
  }

  func answered(with time: ArraySlice<UInt8>) {
    if times.count < Source.remembered {
      times.append(Array(time))
    } else {
      times[nextTime] = Array(time)
    }
    nextTime = (nextTime + 1) % Source.remembered
  }

  /// One of those beside the count.
  func takeSpare(_ now: Int64) -> Bool { spare.take(now) }
}
