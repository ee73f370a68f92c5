// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Recording

/// A number with its unit on the command line, as how many of the least unit it is.
///
/// - Returns: nil for what is none, with the reason in ``UsageError``.
private func quantity(_ text: String, _ units: KeyValuePairs<String, Double>, _ what: String) -> Double? {
  let isNegative = text.hasPrefix("-")
  let digits = text.dropFirst(isNegative ? 1 : 0).prefix { $0.isASCII && $0.isNumber || $0 == "." }
  let unit = text.dropFirst(digits.count + (isNegative ? 1 : 0))
  guard let value = Double(digits), value.isFinite, unit.allSatisfy(\.isLetter) else {
    UsageError.refuse(text, "is no \(what)")
    return nil
  }
  guard let factor = units.first(where: { $0.key == unit })?.value else {
    let names = units.map(\.key).filter { !$0.isEmpty && $0 != "µs" && $0 != "K" }.joined(separator: ", ")
    UsageError.refuse(
      text, unit.isEmpty ? "needs a unit (\(names)): \(digits)s, say" : "has no such unit; there are \(names)")
    return nil
  }
  guard !isNegative, value > 0 else {
    UsageError.refuse(text, "must be positive")
    return nil
  }
  guard value * factor >= 1, value * factor < 9e18 else {
    UsageError.refuse(text, "is too \(value * factor < 1 ? "small" : "large")")
    return nil
  }
  return value * factor
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
    let units: KeyValuePairs = ["ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9]
    guard let value = quantity(argument, units, "time, such as 10s, 500ms or 2m") else { return nil }
    nanoseconds = Int64(value)
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
    let units: KeyValuePairs = [
      "": 1.0, "k": 1024.0, "K": 1024.0, "M": 1048576.0, "G": 1073741824.0, "T": 1099511627776.0,
    ]
    guard let value = quantity(argument, units, "size, such as 100M or 1G") else { return nil }
    bytes = Int(value)
  }
}

extension String? {
  /// As `--session`.
  func validateAsSession() throws {
    if let name = self, !SessionID.isValid(name) {
      throw ValidationError(
        "--session '\(name)' is no name of a session: up to 64 letters, digits, '.', '_' and '-'")
    }
  }
}

extension SizeArgument? {
  /// Before anything is done: a recording that is to be replaced must not go for a bound that cannot be kept.
  func validateAsMaxSize() throws {
    let least = MachineWriter.Options.leastMaxSize
    if let bytes = self?.bytes, bytes < least { throw ValidationError("--max-size takes \(least >> 10)k or more") }
  }
}

/// `0.5` or `0.5%`.
struct PercentArgument: ExpressibleByArgument, CustomStringConvertible {
  var percent: Double
  var fraction: Double { percent / 100 }
  var description: String { percent == percent.rounded() ? "\(Int(percent))" : "\(percent)" }

  init(_ percent: Double) { self.percent = percent }

  init?(argument: String) {
    guard let percent = Double(argument.hasSuffix("%") ? String(argument.dropLast()) : argument), percent.isFinite,
      abs(percent) < 1e6
    else {
      UsageError.refuse(argument, "is no percentage, such as 0.5 or 0.5%")
      return nil
    }
    self.percent = percent
  }
}

/// `1/16`: one in so many.
struct SampleArgument: ExpressibleByArgument, CustomStringConvertible {
  var oneIn: UInt32
  var description: String { "1/\(oneIn)" }

  init(oneIn: UInt32) { self.oneIn = oneIn }

  init?(argument: String) {
    let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0] == "1", let oneIn = UInt32(parts[1]), oneIn > 0 else {
      UsageError.refuse(argument, "is no share of the packets: 1/16 is one in sixteen")
      return nil
    }
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
      UsageError.refuse(argument, "is neither a size nor a time with its unit: 100M, 60s")
      return nil
    }
  }
}

/// `key=value`.
struct LabelArgument: ExpressibleByArgument {
  var key: String
  var value: String

  init?(argument: String) {
    guard let sign = argument.firstIndex(of: "="), sign != argument.startIndex else {
      UsageError.refuse(argument, "is no label: key=value")
      return nil
    }
    key = String(argument[..<sign])
    value = String(argument[argument.index(after: sign)...])
  }
}
