// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Yams

/// One run of the lab as data; `lab/README.md` describes the file.
package struct Scenario: Sendable, Codable, Equatable {
  package struct Host: Sendable, Codable, Equatable {
    /// Series of the Debian kernel: `6.1` or `6.12`.
    package var kernel: String
    /// Debian's build of it: `cloud-amd64`, `amd64` or `rt-amd64`.
    package var flavour: String?
    package var cpus: Int?
    /// MiB.
    package var memory: Int?
    /// QEMU's model of the NIC: `virtio-net-pci`, `e1000e` or `igb`.
    package var nic: String?
    /// Shell commands, run before the guest starts.
    package var tuning: [String]?
  }

  package struct Guest: Sendable, Codable, Equatable {
    package var kernel: String
    package var flavour: String?
    package var cpus: Int?
    package var memory: Int?
    /// False: QEMU's own virtio backend.
    package var vhost: Bool?
    /// Pairs of virtio-net queues.
    package var queues: Int?
    package var tuning: [String]?
  }

  package struct Recording: Sendable, Codable, Equatable {
    package var topology: String
    package var filter: String?
    /// Further arguments of `latprobe record` on both sides.
    package var options: [String]?
  }

  /// A shell command of the workload.
  package struct Step: Sendable, Codable, Equatable {
    /// `outside` (a namespace of this machine), `host` or `guest`.
    package var at: Place
    package var run: String
    /// Goes on while the next step runs, and is ended with the workload.
    package var background: Bool?
  }

  package enum Place: String, Sendable, Codable { case outside, host, guest }

  package var format: Int
  package var name: String
  package var summary: String
  package var host: Host
  package var guest: Guest
  package var recording: Recording
  package var workload: [Step]

  /// Loads a scenario.
  /// - Throws: ``LabError``: one line with file and place.
  package static func load(_ path: String) throws -> Scenario {
    let text: String
    do { text = try String(contentsOfFile: path, encoding: .utf8) } catch {
      throw LabError("\(path): \(error.localizedDescription)")
    }
    let scenario: Scenario
    do { scenario = try YAMLDecoder().decode(Scenario.self, from: text) } catch let error as YamlError {
      throw LabError("\(path): \(error)")
    } catch let error as DecodingError {
      throw LabError("\(path): \(Scenario.explain(error))")
    }
    try scenario.check(path)
    return scenario
  }

  private static func explain(_ error: DecodingError) -> String {
    func place(_ context: DecodingError.Context) -> String {
      let keys = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
      return keys.isEmpty ? "" : " at \(keys.joined(separator: "."))"
    }
    switch error {
    case .keyNotFound(let key, let context): return "`\(key.stringValue)` is missing\(place(context))"
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
      return "\(context.debugDescription)\(place(context))"
    @unknown default: return "\(error)"
    }
  }

  private func check(_ path: String) throws {
    func need(_ condition: Bool, _ what: String) throws { if !condition { throw LabError("\(path): \(what)") } }
    try need(format == 1, "`format` is \(format); this lab reads 1")
    for kernel in [host.kernel, guest.kernel] {
      try need(["6.1", "6.12"].contains(kernel), "`kernel` is \(kernel); it must be \"6.1\" or \"6.12\", in quotes")
    }
    for flavour in [host.flavour, guest.flavour] {
      try need(
        ["cloud-amd64", "amd64", "rt-amd64"].contains(flavour ?? "amd64"),
        "`flavour` must be cloud-amd64, amd64 or rt-amd64")
    }
    try need(
      ["virtio-net-pci", "e1000e", "igb"].contains(host.nic ?? "igb"),
      "`host.nic` must be virtio-net-pci, e1000e or igb")
    try need((1...16).contains(host.cpus ?? 1) && (1...16).contains(guest.cpus ?? 1), "`cpus` must be 1 to 16")
    try need((512...65536).contains(host.memory ?? 512), "`host.memory` must be 512 to 65536 (MiB)")
    try need((256...65536).contains(guest.memory ?? 256), "`guest.memory` must be 256 to 65536 (MiB)")
    try need((1...8).contains(guest.queues ?? 1), "`guest.queues` must be 1 to 8")
  }
}
