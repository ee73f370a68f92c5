// SPDX-License-Identifier: GPL-2.0-or-later

/// Names of machines, which are names of folders.
package enum MachineName {
  /// Role and host name as one folder name, for example `guest-debian-2`: letters, digits, `.`, `_` and `-`,
  /// never hidden, at most 64 bytes, and none of `taken` (a number follows where it would be).
  package static func make(role: String, hostname: String, taken: some Collection<String> = []) -> String {
    var name = ""
    for scalar in "\(role)-\(hostname)".unicodeScalars {
      if isAllowed(scalar) {
        name.unicodeScalars.append(scalar)
      } else if !name.hasSuffix("-") {
        name += "-"
      }
    }
    name = String(name.drop { $0 == "." || $0 == "-" }.prefix(56))
    while name.hasSuffix("-") || name.hasSuffix(".") { name.removeLast() }
    if name.isEmpty { name = "machine" }
    let taken = Set(taken)
    if !taken.contains(name) { return name }
    var number = 2
    while taken.contains("\(name)-\(number)") { number += 1 }
    return "\(name)-\(number)"
  }

  /// Whether ``make(role:hostname:taken:)`` can have made it of this role.
  package static func isSafe(_ name: String, role: String) -> Bool {
    isSafe(name) && (name == role || name.hasPrefix("\(role)-"))
  }

  package static func isSafe(_ name: String) -> Bool {
    !name.isEmpty && !name.hasPrefix(".") && name.utf8.count <= 64 && name.unicodeScalars.allSatisfy(isAllowed)
  }

  private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", ".", "_", "-": true
    default: false
    }
  }
}
