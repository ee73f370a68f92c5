// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
import Foundation
import Host
import Probing
import Testing
import Topology

/// What a user sees when something is not there: one line that names it and says what to do.
@Suite struct ErrorLineTests {
  private func line(_ body: () throws -> Void) throws -> String {
    let error = try #require(throws: KernelError.self, performing: body)
    #expect(!error.description.isEmpty && !error.description.contains("\n"))
    return error.description
  }

  /// A folder with `lib/latprobe/latprobe.bpf.o` of these bytes; returns the executable that would find it.
  private func install(_ bytes: [UInt8], in folder: URL) throws -> String {
    let library = folder.appendingPathComponent("lib/latprobe")
    try FileManager.default.createDirectory(at: library, withIntermediateDirectories: true)
    try Data(bytes).write(to: library.appendingPathComponent("latprobe.bpf.o"))
    return folder.appendingPathComponent("bin/latprobe").path
  }

  private func withFolder(_ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder)
  }

  private static let slot: [UInt8] = [0x05, 0, 0, 0, 0, 0, 0, 0]
  private static let marker: [UInt8] = [0xb7, 0, 0, 0, 0x4c, 0x46, 0x50, 0x4c]

  @Test func aMissingObjectSaysWhereItWasLookedFor() throws {
    let text = try line { _ = try BPFObjectFile.find(executable: "/nonexistent/bin/latprobe") }
    #expect(text.contains("/nonexistent/lib/latprobe/latprobe.bpf.o") && text.contains("make bpf"))
    #expect(text.contains("LATPROBE_BPF"))
  }

  @Test func anObjectWithoutRoomForAFilterIsRefused() throws {
    try withFolder { folder in
      for bytes in [[], ErrorLineTests.marker, [UInt8](repeating: 5, count: 4096)] as [[UInt8]] {
        let executable = try install(bytes, in: folder)
        var object = try BPFObjectFile.find(executable: executable)
        let text = try line { try object.splice(Filter("udp")) }
        #expect(text.contains(folder.path) && text.contains("no place for a filter"))
      }
    }
  }

  @Test func whatIsNoObjectIsRefused() throws {
    try withFolder { folder in
      let object = try BPFObjectFile.find(executable: install(Array("not an ELF file at all".utf8), in: folder))
      let text = try line { _ = try ProbeSet.programs(in: object) }
      #expect(text.contains("is not a BPF object") && text.contains("make bpf"))
    }
  }

  @Test func aFilterChangesItsSlotsAndNothingElse() throws {
    try withFolder { folder in
      let before = [UInt8](repeating: 0xaa, count: 64)
      let slots = (0..<1024).flatMap { _ in ErrorLineTests.slot }
      let bytes = before + ErrorLineTests.marker + slots + before
      var object = try BPFObjectFile.find(executable: install(bytes, in: folder))
      let filter = try Filter("udp port 5001 or tcp port 5201")
      let body = try FilterTranslation.body(of: filter).flatMap(\.bytes)
      try object.splice(filter)
      #expect(object.bytes == before + body + bytes.dropFirst(64 + body.count))
      #expect(body.count > 100 && body.count < 8 * 1025)
      // A filter that is there already leaves no marker for a second.
      #expect(throws: KernelError.self) { try object.splice(filter) }
    }
  }

  @Test func aFilterThatCannotBeTranslatedLeavesTheObjectAlone() throws {
    try withFolder { folder in
      let bytes = ErrorLineTests.marker + (0..<1024).flatMap { _ in ErrorLineTests.slot }
      var object = try BPFObjectFile.find(executable: install(bytes, in: folder))
      let text = try line { try object.splice(Filter("ether[200] = 1")) }
      #expect(text.contains("byte 200"))
      #expect(object.bytes == bytes)
    }
  }

  private func topology() throws -> Topology {
    try Topology(
      yaml: """
        format: 1
        name: t
        summary: t
        hooks:
          txg1:
            side: guest
            watch: guest-device
            candidates: [{tracepoint: net_dev_queue}]
          txh0:
            side: host
            watch: host-device
            candidates: [{tracepoint: netif_rx}]
        paths:
          tx: [txg1, txh0]
        """, file: "t.yaml")
  }

  @Test func aNamespaceThatIsNotThereIsNamed() throws {
    for (name, path) in [
      ("no-such-namespace", "/run/netns/no-such-namespace"), ("999999999", "/proc/999999999/ns/net"),
      ("/no/such", "/no/such"),
    ] {
      let text = try line { _ = try WatchPlan.make(topology: topology(), namespaces: [name], devices: []) }
      #expect(text.contains("no network namespace '\(name)'") && text.contains(path) && text.contains("ip netns list"))
    }
  }

  @Test func whatIsNoNamespaceIsRefused() throws {
    let text = try line { _ = try WatchPlan.make(topology: topology(), namespaces: ["/dev/null"], devices: []) }
    #expect(text.contains("/dev/null"))
  }

  /// One program serves a site on all devices, so a second one there would stamp each packet again.
  @Test func twoProgramsAtOneSiteAreRefused() throws {
    let topology = try Topology(
      yaml: """
        format: 1
        name: t
        summary: t
        hooks:
          txg1: {side: host, watch: host-device, candidates: [{tracepoint: net_dev_queue, rungs: [raw_tp]}]}
          txh1: {side: host, watch: host-device, candidates: [{tracepoint: net_dev_start_xmit, rungs: [raw_tp]}]}
          txh2:
            side: host
            watch: host-device
            candidates: [{function: consume_skb, with: [napi_consume_skb, dev_hard_start_xmit], rungs: [kprobe]}]
        paths:
          tx: [txg1, txh1, txh2]
        """, file: "t.yaml")
    let object = try BPFObjectFile.find(executable: CommandLine.arguments[0])
    let facts = KernelFacts(
      release: "6.1.0", rungs: [.rawTP: .ok, .kprobe: .ok], tracepoints: ["net_dev_queue", "net_dev_start_xmit"],
      functions: ["consume_skb", "napi_consume_skb", "dev_hard_start_xmit"])
    let resolved = try topology.resolve(facts: facts, programs: try ProbeSet.programs(in: object))
    #expect(resolved.attachedHooks.count == 3)
    let plan = try WatchPlan.make(topology: topology, namespaces: [], devices: ["lo"])
    let text = try line { _ = try ProbeSet(object, resolved, plan, ProbeOptions()) }
    #expect(text.contains("txh1 and txh2 would stamp each packet twice"))
    #expect(text.contains("kprobe_dev_hard_start_xmit and raw_tp_net_dev_start_xmit"))
  }
}
