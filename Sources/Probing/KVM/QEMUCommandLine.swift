// SPDX-License-Identifier: GPL-2.0-or-later

/// What latprobe reads from the command line of a virtual machine monitor; written for QEMU's, harmless on any other.
///
/// Pure, and for hostile input: nothing is trusted, and what is kept is short and printable.
package struct QEMUCommandLine: Sendable, Equatable {
  /// Bytes of /proc/PID/cmdline that are looked at.
  package static let sizeLimit = 256 << 10
  private static let argumentLimit = 4096

  /// `-name [guest=]X`.
  package var name: String?
  /// `-uuid`, or the one of `-smbios type=1`; in lower case.
  package var uuid: String?
  /// `guest-cid` of a vsock device.
  package var vsockCID: UInt32?
  /// Back ends of `-netdev` (and `-nic`) in order: `tap`, `user`, `vhost-user`, `af-xdp`, …
  package var backends: [String] = []

  /// - Parameter bytes: /proc/PID/cmdline: arguments that end with NUL.
  package init(_ bytes: [UInt8]) {
    let arguments = bytes.prefix(QEMUCommandLine.sizeLimit)
      .split(separator: 0, maxSplits: QEMUCommandLine.argumentLimit, omittingEmptySubsequences: false)
      .prefix(QEMUCommandLine.argumentLimit).map { String(decoding: $0, as: UTF8.self) }
    for (argument, value) in zip(arguments, arguments.dropFirst()) where argument.hasPrefix("-") {
      // QEMU takes options with one dash or two.
      take(option: argument.drop { $0 == "-" }, Options(value))
    }
  }

  private mutating func take(option: Substring, _ options: Options) {
    switch option {
    case "name": name = (options["guest"] ?? options.first).flatMap(QEMUCommandLine.printable) ?? name
    case "uuid": uuid = options.first.flatMap(QEMUCommandLine.uuid) ?? uuid
    case "smbios": uuid = uuid ?? options["uuid"].flatMap(QEMUCommandLine.uuid)
    case "device": vsockCID = options["guest-cid"].flatMap { UInt32($0) } ?? vsockCID
    case "netdev", "nic":
      if let type = (options["type"] ?? options.first).flatMap(QEMUCommandLine.printable) { backends.append(type) }
    default: break
    }
  }

  /// Without control characters, at most 128 characters; nil if nothing is left.
  package static func printable(_ text: some StringProtocol) -> String? {
    var kept = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(128) {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: continue
      default: kept.append(scalar)
      }
    }
    return kept.isEmpty ? nil : String(kept)
  }

  private static func uuid(_ text: String) -> String? {
    let isUUID = text.utf8.count == 36 && text.allSatisfy { $0 == "-" || ($0.isASCII && $0.isHexDigit) }
    return isUUID ? text.lowercased() : nil
  }
}

/// `a,key=value,…` with `,,` for a comma in a value, or a flat JSON object as libvirt writes it.
private struct Options {
  /// The first one, if it has no key.
  private(set) var first: String?
  private var values: [String: String] = [:]

  subscript(key: String) -> String? { values[key] }

  init(_ text: String) {
    if text.hasPrefix("{") {
      readJSON(text.unicodeScalars)
    } else {
      for (index, item) in Options.items(text).enumerated() {
        if let equals = item.firstIndex(of: "=") {
          values[String(item[..<equals])] = String(item[item.index(after: equals)...])
        } else if index == 0 {
          first = item
        }
      }
    }
  }

  private static func items(_ text: String) -> [String] {
    var items: [String] = []
    var current = String.UnicodeScalarView()
    var afterComma = false
    for scalar in text.unicodeScalars {
      switch (scalar, afterComma) {
      case (",", false): afterComma = true
      case (",", true):
        current.append(",")
        afterComma = false
      case (_, true):
        items.append(String(current))
        current = .init([scalar])
        afterComma = false
      case (_, false): current.append(scalar)
      }
    }
    return items + [String(current)]
  }

  /// Reads `"key":"text"` and `"key":number` wherever they stand; that is all that is asked of it.
  private mutating func readJSON(_ text: String.UnicodeScalarView) {
    var rest = text[...]
    var key: String?
    while let scalar = rest.popFirst() {
      switch scalar {
      case "\"":
        let string = Options.string(&rest)
        if let name = key {
          values[name] = string
          key = nil
        } else if rest.first == ":" {
          rest.removeFirst()
          key = string
        }
      case "0"..."9":
        var digits = String(scalar)
        while let digit = rest.first, ("0"..."9").contains(digit) { digits.unicodeScalars.append(rest.removeFirst()) }
        if let name = key { values[name] = digits }
        key = nil
      case " ": continue
      default: key = nil
      }
    }
  }

  /// The rest of a JSON string; escapes stand for the character behind the backslash.
  private static func string(_ rest: inout Substring.UnicodeScalarView) -> String {
    var string = String.UnicodeScalarView()
    while let scalar = rest.popFirst(), scalar != "\"" {
      string.append(scalar == "\\" ? rest.popFirst() ?? "\\" : scalar)
    }
    return String(string)
  }
}
