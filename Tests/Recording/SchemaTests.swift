// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

/// The schemas name exactly the properties that the types write.
@Suite struct SchemaTests {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "docs/schema").path

  private func object(_ bytes: Data) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: bytes) as? [String: Any])
  }

  @Test func everyPropertyIsDescribed() throws {
    let scratch = try Scratch()
    var machine = sampleMachine()
    machine.filter = "udp"
    machine.stampCost = 130
    machine.stoppedAt = 1
    machine.stoppedBy = "signal"
    machine.hooks = [AttachedHook(name: "txg0", attachedAs: "tp_btf:x", absentBecause: "none")]
    machine.ledger = [LedgerRow(hook: "txg0", cpu: 0)]
    machine.paths = [Path(name: "tx", hooks: ["txg0"])]
    try sampleSession().write(to: scratch.path)
    let writer = try MachineWriter(
      directory: scratch.path, machine: machine, session: sampleSession(), utcOffset: utcOffset)
    try writer.close(machine)
    for (name, file) in [("session", "session.json"), ("machine", "host-a/machine.json")] {
      let schema = try object(Data(contentsOf: URL(filePath: "\(Self.folder)/\(name).schema.json")))
      let written = try object(Data(scratch.bytes(file)))
      let definitions = schema["$defs"] as? [String: [String: Any]] ?? [:]
      try compare(written, schema, name)
      for (property, definition) in [("hooks", "hook"), ("paths", "path"), ("ledger", "ledgerRow")] {
        guard let rows = written[property] as? [[String: Any]] else { continue }
        try compare(try #require(rows.first), try #require(definitions[definition]), property)
      }
      let properties = try #require(schema["properties"] as? [String: [String: Any]])
      for property in ["sampling", "rotation"] {
        guard let value = written[property] as? [String: Any] else { continue }
        try compare(value, try #require(properties[property]), property)
      }
    }
  }

  private func compare(_ written: [String: Any], _ schema: [String: Any], _ place: String) throws {
    let properties = try #require(schema["properties"] as? [String: Any])
    let required = try #require(schema["required"] as? [String])
    #expect(Set(written.keys) == Set(properties.keys), "\(place)")
    #expect(Set(required).isSubset(of: written.keys), "\(place)")
  }
}
