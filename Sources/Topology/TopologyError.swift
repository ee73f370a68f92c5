// SPDX-License-Identifier: GPL-2.0-or-later

/// What is wrong with a topology, where, and what to do: one line for the user.
package struct TopologyError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file, or the name that was asked for.
  package var file: String
  /// Nil where the file as a whole is at fault.
  package var location: Topology.Location?
  package var what: String
  package var remedy: String

  package init(file: String, location: Topology.Location? = nil, what: String, remedy: String) {
    self.file = file
    self.location = location
    self.what = what
    self.remedy = remedy
  }

  /// `file:line:column: what; what to do`.
  package var description: String {
    let place = location.map { ":\($0.line):\($0.column)" } ?? ""
    return "\(file)\(place): \(what); \(remedy)"
  }

  static func tooLarge(_ file: String) -> TopologyError {
    TopologyError(
      file: file, what: "the file is larger than \(Topology.sizeLimit) bytes",
      remedy: "this is hardly a topology; check the file's name")
  }
}
