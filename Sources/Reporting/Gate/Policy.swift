// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
internal import PlainYAML
import Yams

/// A policy that cannot be used: one line, `FILE:LINE:COLUMN: what was expected`.
package struct PolicyError: Error, Equatable, CustomStringConvertible {
  package var description: String
}

/// What a gate requires, how sure it must be, and when it refuses to judge.
package struct Policy: Sendable, Equatable {
  /// Limits beyond which a verdict is INVALID.
  package struct Limits: Sendable, Equatable {
    /// Stamps lost at one of the segment's hook points: buffer full or program skipped.
    package var ledgerLost: Int = 0
    /// Fraction of the packets at `from` that are unmatched or late.
    package var unmatched: Double = 0.001
    /// Fraction of the packets at `from` that are ambiguous.
    package var ambiguous: Double = 0.01
    /// Clock error as a fraction of the threshold; for times only.
    package var clockError: Double = 0.1

    package init() {}
  }

  package var requirements: [Requirement]
  /// Bound of the probability of a wrong PASS and of a wrong FAIL.
  package var alpha: Double
  package var limits: Limits

  package init(requirements: [Requirement], alpha: Double = 0.05, limits: Limits = Limits()) {
    self.requirements = requirements
    self.alpha = alpha
    self.limits = limits
  }

  /// Reads a policy file (docs/gate.md).
  package static func load(path: String) throws(PolicyError) -> Policy {
    guard let bytes = PolicyReader.yaml.bytes(of: path) else {
      let reason =
        switch errno {
        case EISDIR: "is a directory: name a policy file (YAML)"
        case ENOENT, ENOTDIR: "no such file: check the path"
        default: "cannot be read: check its permissions"
        }
      throw PolicyError(description: "\(Text.plain(path)): \(reason)")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw PolicyError(description: "\(Text.plain(path)): not UTF-8 text; a policy is a YAML file")
    }
    return try Policy(yaml: text, name: path)
  }

  /// - Parameter name: stands for the file in error lines.
  package init(yaml: String, name: String) throws(PolicyError) {
    self.init(requirements: [])
    let reader = PolicyReader(file: Text.plain(name))
    for (key, value) in try reader.fields(try reader.root(yaml), "require, alpha or limits") {
      switch key.string {
      case "require": requirements = try reader.requirements(value)
      case "alpha": alpha = try reader.alpha(value)
      case "limits": limits = try reader.limits(value)
      default: throw reader.unknown(key, "require, alpha or limits", ["require", "alpha", "limits"])
      }
    }
  }
}
