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
    machine.stampCosts = ["txg1": 140]
    machine.segmentNames = ["txg1-txg2": "qdisc"]
    machine.stoppedAt = 1
    machine.stoppedBy = "signal"
    machine.hooks = [AttachedHook(name: "txg0", attachedAs: "tp_btf:x", absentBecause: "none", devices: ["1:2"])]
    machine.ledger = [LedgerRow(hook: "txg0", cpu: 0)]
    machine.captures = [sampleCapture]
    var interface = TapInterface(
      number: 0, name: "eth0", hooks: ["wire-in"], driver: "igb", hardwareClock: 0, hardware: "granted")
    interface.clocks = ["hardware": 5]
    interface.driverCounters = ["tx_hwtstamp_skipped": 1]
    machine.interfaces = [interface]
    machine.pairing = PairingAccount(
      names: [PairingAccount.Name(name: "dns", ofProtocol: "dns")],
      protocols: [PairingAccount.Tally(name: "dns", counts: ["paired": 1])],
      packets: ["packets": 2])
    var change = Change(time: 7, .renamed, device: "eth0", namespace: "web", id: "1:2")
    change.to = "eth1"
    change.cpu = 1
    change.by = -5
    change.hooks = ["txg0"]
    machine.changes = [change]
    machine.drops = [DropPlace(place: 7, reason: 8, name: "NETFILTER_DROP", function: "nf_hook_slow", count: 3)]
    machine.dropsLost = 0
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
      let lists = [
        ("hooks", "hook"), ("paths", "path"), ("ledger", "ledgerRow"), ("captures", "capture"),
        ("interfaces", "tapInterface"), ("changes", "change"), ("drops", "dropPlace"),
      ]
      for (property, definition) in lists {
        guard let rows = written[property] as? [[String: Any]] else { continue }
        try compare(try #require(rows.first), try #require(definitions[definition]), property)
      }
      if let capture = (written["captures"] as? [[String: Any]])?.first {
        let interface = try #require((capture["interfaces"] as? [[String: Any]])?.first)
        try compare(interface, try #require(definitions["captureInterface"]), "captureInterface")
      }
      if let pairing = written["pairing"] as? [String: Any] {
        try compare(pairing, try #require(definitions["pairing"]), "pairing")
      }
      let properties = try #require(schema["properties"] as? [String: [String: Any]])
      for property in ["sampling", "rotation"] {
        guard let value = written[property] as? [String: Any] else { continue }
        try compare(value, try #require(properties[property]), property)
      }
    }
  }

  @Test func calibrationIsDescribed() throws {
    let scratch = try Scratch()
    let direction = Calibration.Direction(
      from: "eth0", to: "eth1", transmitClock: "hardware", receiveClock: "kernel", count: 997, lost: 3, constant: 512,
      interval: [510, 517], error: 11, effectiveCount: 400.5, least: 480, greatest: 900)
    var back = direction
    back.constant = 500
    back.interval = [499, 503]
    let calibration = Calibration(
      session: "7d1c", hostname: "lab", createdAt: 1_700_000_000,
      ports: ["eth0", "eth1"].map { Calibration.Port(name: $0, driver: "igb", hardwareClock: 0) }, there: direction,
      back: back)
    #expect(calibration.asymmetry == 12 && calibration.asymmetryInterval == [7, 18])
    #expect(direction.uncertainty == 16 && back.uncertainty == 14 && !direction.isHardware)
    try calibration.write(to: scratch.path)
    let path = "\(scratch.path)/\(Calibration.fileName)"
    #expect(try Calibration.load(path) == calibration)

    let written = try object(Data(contentsOf: URL(filePath: path)))
    let schema = try object(Data(contentsOf: URL(filePath: "\(SchemaTests.folder)/calibration.schema.json")))
    try compare(written, schema, "calibration")
    let direct = try #require((written["directions"] as? [[String: Any]])?.first)
    let definitions = try #require(schema["$defs"] as? [String: [String: Any]])
    try compare(direct, try #require(definitions["direction"]), "direction")

    for (good, bad) in [("\"constant_ns\" : 500", "\"constant_ns\" : 600"), ("\"format\" : 1", "\"format\" : 2")] {
      let text = try String(contentsOfFile: path, encoding: .utf8)
      #expect(text.contains(good))
      try text.replacingOccurrences(of: good, with: bad).write(toFile: path, atomically: true, encoding: .utf8)
      #expect(throws: RecordingError.self) { try Calibration.load(path) }
      try calibration.write(to: scratch.path)
    }
  }

  private var sampleCapture: Capture {
    Capture(
      file: "a.pcapng", format: "pcapng",
      interfaces: [
        Capture.Interface(
          number: 0, name: "eth0", hook: "wire-in", linkType: 1, snapLength: 0, resolution: "10^-9 s",
          timeSource: "file", packets: 5, stamps: 4, drops: 1)
      ], skipped: ["no time": 1], leftOut: ["not_ip": 1], error: "cut off")
  }

  private func compare(_ written: [String: Any], _ schema: [String: Any], _ place: String) throws {
    let properties = try #require(schema["properties"] as? [String: Any])
    let required = try #require(schema["required"] as? [String])
    #expect(Set(written.keys) == Set(properties.keys), "\(place)")
    #expect(Set(required).isSubset(of: written.keys), "\(place)")
  }
}
