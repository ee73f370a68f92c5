// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing

@testable import VirtualLab

@Suite struct ScenarioTests {
  private static let full = """
    format: 1
    name: full-1.0
    summary: every key
    host:
      kernel: "6.12"
      flavour: amd64
      cpus: 2
      memory: 1024
      nic: e1000e
      nic_options: "x=1"
      tuning: [sysctl -w net.core.busy_read=50]
    guest: {kernel: "6.1", flavour: rt-amd64, cpus: 2, memory: 256, vhost: false, queues: 2, tuning: ["true"]}
    recording: {topology: kvm-user, filter: udp, options: [--nat]}
    workload:
      - {at: guest, background: true, run: server}
      - {at: outside, run: client}
      - {at: host, run: "true"}
    """

  @Test func everyKeyIsRead() throws {
    #expect(
      try Scenario.parse(ScenarioTests.full, file: "full.yaml")
        == Scenario(
          format: 1, name: "full-1.0", summary: "every key",
          host: Scenario.Host(
            kernel: "6.12", flavour: "amd64", cpus: 2, memory: 1024, nic: "e1000e", nicOptions: "x=1",
            tuning: ["sysctl -w net.core.busy_read=50"]),
          guest: Scenario.Guest(
            kernel: "6.1", flavour: "rt-amd64", cpus: 2, memory: 256, vhost: false, queues: 2, tuning: ["true"]),
          recording: Scenario.Recording(topology: "kvm-user", filter: "udp", options: ["--nat"]),
          workload: [
            Scenario.Step(at: .guest, run: "server", background: true), Scenario.Step(at: .outside, run: "client"),
            Scenario.Step(at: .host, run: "true"),
          ]))
  }

  @Test func whatMayBeLeftOut() throws {
    let scenario = try Scenario.parse(
      """
      format: 1
      name: least
      summary: as few keys as there can be
      host: {kernel: "6.1"}
      guest: {kernel: "6.1"}
      recording: {topology: kvm-vhost}
      workload: []
      """, file: "least.yaml")
    #expect(scenario.host.model == "virtio-net-pci")
    #expect(scenario.host.build == "cloud-amd64")
    #expect(scenario.host == Scenario.Host(kernel: "6.1"))
    #expect(scenario.guest == Scenario.Guest(kernel: "6.1"))
    let alone = try Scenario.parse(
      ScenarioTests.full.split(separator: "\n").filter { !$0.hasPrefix("guest:") && !$0.contains("at: guest") }
        .joined(separator: "\n"), file: "alone.yaml")
    #expect(alone.guest == nil && alone.workload.count == 2)
  }

  /// What is put in the place of what, and the error that must come.
  @Test(arguments: [
    ("format: 1", "format: 2", "1:9: `format` is 2; this lab reads 1"),
    ("format: 1\n", "", "1:1: the file lacks `format`"),
    (
      "name: full-1.0", "name: a/b",
      "2:7: `name` is 'a/b'; it may hold letters, digits, '.', '_' and '-'"
    ),
    ("summary: every key", "summary: [1, 2]", "3:10: `summary` must be text"),
    (
      "summary: every key", "sumary: every key",
      "3:1: the file knows no `sumary`; it may have format, name, summary, host, guest, recording, workload"
    ),
    ("  kernel: \"6.12\"", "  kernel: \"5.10\"", "5:11: `host.kernel` is 5.10; it may be 6.1, 6.12"),
    ("  kernel: \"6.12\"\n", "", "5:3: `host` lacks `kernel`"),
    ("flavour: amd64", "flavour: arm64", "6:12: `host.flavour` is arm64; it may be cloud-amd64, amd64, rt-amd64"),
    ("  cpus: 2", "  cpus: 0", "7:9: `host.cpus` is 0; it may be 1 to 16"),
    ("  cpus: 2", "  cpus: two", "7:9: `host.cpus` is two; it may be 1 to 16"),
    ("memory: 1024", "memory: 64", "8:11: `host.memory` is 64; it may be 512 to 65536 MiB"),
    ("nic: e1000e", "nic: ne2000", "9:8: `host.nic` is ne2000; it may be virtio-net-pci, e1000e, igb"),
    (
      "nic_options: ", "nicoptions: ",
      "10:3: `host` knows no `nicoptions`; it may have kernel, flavour, cpus, memory, nic, loop, tuning, nic_options"
    ),
    ("tuning: [sysctl -w net.core.busy_read=50]", "tuning: sysctl", "11:11: `host.tuning` must be a list"),
    ("background: true", "background: 1", "15:29: `workload.[0].background` must be true or false"),
    (
      "workload:\n", "workload: {}\nworkloads:\n",
      "15:1: the file knows no `workloads`; it may have format, name, summary, host, guest, recording, workload"
    ),
    ("options: [--nat]", "options: --nat", "13:55: `recording.options` must be a list"),
    ("vhost: false", "vhost: perhaps", "12:72: `guest.vhost` must be true or false"),
    ("queues: 2", "queues: 9", "12:87: `guest.queues` is 9; it may be 1 to 8"),
    ("topology: kvm-user, ", "", "13:12: `recording` lacks `topology`"),
    ("{topology: kvm-user, filter: udp, options: [--nat]}", "udp", "13:12: `recording` must be a list of `key: value`"),

    (
      "guest: {kernel: \"6.1\", flavour: rt-amd64, cpus: 2, memory: 256, vhost: false, queues: 2, tuning: [\"true\"]}\n",
      "",
      "14:10: `at` is guest, but the file has no `guest`"
    ),
    ("at: outside", "at: inside", "16:10: `at` is inside; it may be outside, host, guest"),
    ("{at: outside, run: client}", "{at: outside}", "16:5: `workload.[1]` lacks `run`"),
    (
      "{at: outside, run: client}", "{at: outside, rum: client}",
      "16:19: `workload` step 2 knows no `rum`; it may have at, run, background"
    ),
    ("{at: outside, run: client}", "client", "16:5: `workload` step 2 must be a list of `key: value`"),
  ])
  func errorsNameThePlace(old: String, new: String, message: String) throws {
    try #require(ScenarioTests.full.contains(old))
    let text = ScenarioTests.full.replacing(old, with: new, maxReplacements: 1)
    #expect(ScenarioTests.error(text) == "x.yaml:\(message)")
  }

  @Test func notYAML() throws {
    #expect(ScenarioTests.error("") == "x.yaml: the file is empty; begin with `format: 1`")
    #expect(ScenarioTests.error("- 1") == "x.yaml:1:1: the file must be a list of `key: value`")
    let message = try #require(ScenarioTests.error("format: 1\nname: {a\n"))
    #expect(message.hasPrefix("x.yaml:") && !message.contains("\n"), "\(message)")
  }

  @Test func missingFile() {
    #expect(throws: LabError.self) { try Scenario.load("/nonexistent.yaml") }
  }

  @Test func shippedScenarios() throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("lab/scenarios").path
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    #expect(names.count >= 11)
    for name in names {
      let scenario = try Scenario.load("\(folder)/\(name)")
      #expect("\(scenario.name).yaml" == name)
      #expect(scenario.workload.contains { !($0.background ?? false) }, "\(name)")
    }
  }

  private static func error(_ text: String) -> String? {
    do { _ = try Scenario.parse(text, file: "x.yaml") } catch { return "\(error)" }
    return nil
  }
}
