// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import FuzzTargets
import Glibc
import Testing

/// Every parser is given input that repeats: what it knows (its seeds) and what makes parsers nest, backtrack or copy.
/// Twice as much of it costs at most two and a half times as much CPU time.
///
/// What costs little is not compared: something quadratic would show itself by being slow. With `LATPROBE_TELL` each
/// target's dearest input is printed, for docs/reliability.md.
@Suite struct GrowthTests {
  private static let size = 16 << 10
  /// libpcap has a bound of time, not of work for each byte.
  private static let sizes = ["filter": 2 << 10]
  /// Seconds that are too few to compare.
  private static let little = 0.03
  private static let isTold = ProcessInfo.processInfo.environment["LATPROBE_TELL"] != nil

  /// Of this thread, so that what else runs does not count.
  private static func cost(_ target: FuzzTarget, _ bytes: [UInt8]) -> Double {
    func now() -> Double {
      var time = timespec()
      unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    let start = now()
    target.run(bytes)
    return now() - start
  }

  /// What twice as much takes, as the least of some tries: what is quadratic has four in each.
  private static func ratio(_ target: FuzzTarget, _ adversary: Adversary, _ size: Int) -> Double {
    let (small, large) = (adversary.bytes(size), adversary.bytes(2 * size))
    var (least, most) = (Double.infinity, Double.infinity)
    for _ in 0..<6 {
      least = min(least, cost(target, small))
      most = min(most, cost(target, large))
      if most / least <= 2.5 { break }
    }
    return most / least
  }

  private struct Adversary {
    var start: [UInt8]
    var middle: [UInt8]
    var end: [UInt8] = []

    func bytes(_ size: Int) -> [UInt8] {
      let count = max(1, (size - start.count - end.count) / max(1, middle.count))
      return start + [[UInt8]](repeating: middle, count: count).flatMap(\.self) + end
    }
  }

  /// What parsers have to look at twice: brackets, quotes, indentation, separators, numbers, keys, escapes.
  private static let words =
    Array(" \n\t\"'[]{}(),:;-+*&!|><#%0a=/\\.@~`?_").map(String.init) + [
      "\r\n", "- ", "a: ", "a:\n", "[[", "{{", "[{", "{a: ", "{\"a\":", "[\"", "\\u0000", "? ", "<<: ", "- - ", "\n ",
      "a b ", "a,",
      "1,", "0-1,", "-1 ", "1e308 ", "not ", "or ", "and ", "(port 1) or ", "tcp or ", "host 1.1.1.1 or ", "\"\n", "''",
      "# \n", "--- \n",
      "%%", "\u{0}", "\u{7f}", "\u{e9}", "\u{1f600}", "e\u{301}",
    ]

  private static func adversaries(_ target: String) throws -> [Adversary] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("fuzz/seeds/\(target)")
    let seeds = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map {
      [UInt8](try Data(contentsOf: folder.appendingPathComponent($0)))
    }.filter { !$0.isEmpty && $0.count <= size }
    var found = words.map { Adversary(start: [], middle: Array($0.utf8)) }
    found += [[0xff], [0x80], [0, 0, 0, 1], [0xff, 0xff, 0xff, 0x7f]].map { Adversary(start: [], middle: $0) }
    for seed in seeds {
      found.append(Adversary(start: [], middle: seed))
      // Its end again and again: packets, records and lines behind a header.
      for part in [2, 4] {
        let place = seed.count - seed.count / part
        if place < seed.count { found.append(Adversary(start: seed, middle: Array(seed[place...]))) }
      }
      if let header = [16, 24, 72].filter({ $0 < seed.count }).last {
        found.append(Adversary(start: Array(seed[..<header]), middle: Array(seed[header...])))
      }
    }
    // Within what is right otherwise.
    for seed in seeds.prefix(2) {
      let half = seed.count / 2
      for word in [" ", "0", "\n", ",", "[", "{\"a\":", "a: ", "\"", "("] {
        found.append(Adversary(start: Array(seed[..<half]), middle: Array(word.utf8), end: Array(seed[half...])))
      }
    }
    return found
  }

  @Test(arguments: FuzzTarget.all.map(\.name)) func costsNoMoreThanItsLength(name: String) throws {
    let target = try #require(FuzzTarget.named(name))
    var dearest = (cost: 0.0, ratio: 0.0, words: "")
    let size = Self.sizes[name] ?? Self.size
    for adversary in try Self.adversaries(name) {
      let cost = Self.cost(target, adversary.bytes(2 * size))
      var ratio = 0.0
      let words = String(decoding: adversary.middle.prefix(12), as: UTF8.self).debugDescription
      if cost > Self.little {
        ratio = Self.ratio(target, adversary, size)
        // A bound that is reached between the two makes a step, which is no slope.
        let isSteep = ratio > 2.5 && [2, 4].allSatisfy { Self.ratio(target, adversary, $0 * size) > 2.5 }
        #expect(!isSteep, "\(words) again and again: twice \(size) bytes take \(ratio) times as long (\(cost) s)")
      }
      if cost > dearest.cost { dearest = (cost, ratio, words) }
    }
    if Self.isTold {
      print(
        "growth \(name): \(dearest.words) \(2 * size) bytes, \(dearest.cost * 1000) ms, ratio \(dearest.ratio)")
    }
  }
}
