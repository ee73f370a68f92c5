// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Recording

/// A number with its unit on the command line.
private func split(_ text: String) -> (Double, String)? {
  let digits = text.prefix { $0.isNumber || $0 == "." }
  guard let value = Double(digits), value.isFinite else { return nil }
  return (value, String(text.dropFirst(digits.count)))
}

/// `10s`, `500ms`, `2m`, `1h`; nanoseconds.
struct TimeArgument: ExpressibleByArgument, CustomStringConvertible {
  var nanoseconds: Int64
  var description: String {
    for (unit, factor) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] as [(String, Int64)] {
      if nanoseconds % factor == 0 { return "\(nanoseconds / factor)\(unit)" }
    }
    return "\(nanoseconds)ns"
  }

  init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  init?(argument: String) {
    let units = ["ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9]
    guard let (value, unit) = split(argument), let factor = units[unit], value * factor >= 1, value * factor < 9e18
    else { return nil }
    nanoseconds = Int64(value * factor)
  }
}

/// The same, and `0s`.
struct TimeOrZeroArgument: ExpressibleByArgument, CustomStringConvertible {
  var nanoseconds: Int64
  var description: String { TimeArgument(nanoseconds: nanoseconds).description }

  init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  init?(argument: String) {
    guard let time = argument == "0s" ? TimeArgument(nanoseconds: 0) : TimeArgument(argument: argument) else {
      return nil
    }
    nanoseconds = time.nanoseconds
  }
}

/// `100M`, `1G`, `64k`, `4096`; bytes, in powers of 1024.
struct SizeArgument: ExpressibleByArgument {
  var bytes: Int

  init?(argument: String) {
    let units = ["": 1.0, "k": 1024.0, "K": 1024.0, "M": 1048576.0, "G": 1073741824.0, "T": 1099511627776.0]
    guard let (value, unit) = split(argument), let factor = units[unit], value * factor >= 1, value * factor < 9e18
    else { return nil }
    bytes = Int(value * factor)
  }
}

extension SizeArgument? {
  /// Before anything is done: a recording that is to be replaced must not go for a bound that cannot be kept.
  func validateAsMaxSize() throws {
    let least = MachineWriter.Options.leastMaxSize
    if let bytes = self?.bytes, bytes < least { throw ValidationError("--max-size takes \(least >> 10)k or more") }
  }
}

/// `1/16`: one in so many.
struct SampleArgument: ExpressibleByArgument, CustomStringConvertible {
  var oneIn: UInt32
  var description: String { "1/\(oneIn)" }

  init(oneIn: UInt32) { self.oneIn = oneIn }

  init?(argument: String) {
    let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0] == "1", let oneIn = UInt32(parts[1]), oneIn > 0 else { return nil }
    self.oneIn = oneIn
  }
}

/// `100M` or `60s`: when a stream file is full.
enum RotateArgument: ExpressibleByArgument {
  case size(Int)
  case time(Int64)

  init?(argument: String) {
    if let time = TimeArgument(argument: argument) {
      self = .time(time.nanoseconds)
    } else if let size = SizeArgument(argument: argument), argument.last?.isLetter == true {
      self = .size(size.bytes)
    } else {
      return nil
    }
  }
}

/// `key=value`.
struct LabelArgument: ExpressibleByArgument {
  var key: String
  var value: String

  init?(argument: String) {
    guard let sign = argument.firstIndex(of: "="), sign != argument.startIndex else { return nil }
    key = String(argument[..<sign])
    value = String(argument[argument.index(after: sign)...])
  }
}
