// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import Topology

/// The files in `probes/`, against kernels that differ.
@Suite struct ShippedTopologyTests {
  static let probes = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("probes").path
  let library = TopologyLibrary(directories: [probes])

  /// `hook → attached as`, absent ones left out.
  private func attached(
    _ name: String, _ facts: KernelFacts, side: Topology.Side? = nil
  ) throws -> [String: String] {
    let resolved = try library.load(name).resolve(facts: facts, programs: Kernels.programs, side: side)
    return Dictionary(
      uniqueKeysWithValues: resolved.hooks.compactMap { hook in
        hook.attachedAs.map { (hook.point.name, $0) }
      })
  }

  @Test func everyFileInProbesParsesUnderItsOwnName() throws {
    let entries = library.list()
    #expect(entries.map(\.name) == ["host-nic", "kvm-vhost", "veth"])
    for entry in entries { #expect(try library.load(entry.name).name == entry.name) }
  }

  @Test func vethHasThePathsOfTheDesign() throws {
    let veth = try library.load("veth")
    #expect(
      veth.paths == [
        Path(name: "tx", hooks: ["txg0", "txg1", "txg2", "txh0"]),
        Path(name: "rx", hooks: ["rxh1", "rxg0", "rxg1"]),
        Path(name: "east-west", hooks: ["txg0", "txg1", "txg2", "txh0", "rxh1", "rxg0", "rxg1"]),
      ])
    #expect(veth.segments.map(\.name) == ["txg1-rxg0"])
    #expect(veth.sides == [.guest, .host])
    #expect(try library.load("host-nic").sides == [.host])
  }

  @Test func vethOnALockedKernelUsesBTFTracepointsAlone() throws {
    #expect(
      try attached("veth", Kernels.locked618) == [
        "txg0": "tp_btf:sys_enter+net_dev_queue",
        "txg1": "tp_btf:net_dev_queue",
        "txg2": "tp_btf:net_dev_start_xmit",
        "txh0": "plain=tp_btf:netif_rx napi=tp_btf:napi_gro_receive_entry",
        "rxh1": "tp_btf:net_dev_start_xmit",
        "rxg0": "plain=tp_btf:netif_rx napi=tp_btf:napi_gro_receive_entry",
        "rxg1": "tcp=tp_btf:skb_copy_datagram_iovec udp=tp_btf:sock_recv_length+sk_data_ready",
      ])
    let resolved = try library.load("veth").resolve(facts: Kernels.locked618, programs: Kernels.programs)
    #expect(resolved.warnings == [])
    let udp = try #require(resolved.hooks.last?.parts.last)
    #expect(
      udp.attempts.map(\.description) == [
        "function skb_consume_udp: fentry refused (EPERM), kprobe not built into this kernel"
      ])
    #expect(udp.absence == nil)
  }

  @Test func vethOnOlderKernelsFallsBack() throws {
    let udp = "tcp=tp_btf:skb_copy_datagram_iovec udp="
    #expect(try attached("veth", Kernels.debian61)["rxg1"] == udp + "fentry:skb_consume_udp")
    #expect(try attached("veth", Kernels.old510)["rxg1"] == udp + "kprobe:skb_consume_udp")
  }

  @Test func withoutBTFRawTracepointsAreUsedAndUDPIsAbsentAtTheSocket() throws {
    let resolved = try library.load("veth").resolve(facts: Kernels.withoutBTF, programs: Kernels.programs)
    #expect(resolved.hooks.count == 7)
    #expect(resolved.hooks.first?.attachedAs == "raw_tp:sys_enter+net_dev_queue")
    #expect(resolved.hooks.flatMap(\.probes).allSatisfy { $0.rung == .rawTP })
    let rxg1 = try #require(resolved.hooks.last)
    #expect(rxg1.isAttached)
    #expect(rxg1.absentBecause == nil)
    let reason =
      "function skb_consume_udp: fentry needs BTF, which this kernel has not, kprobe not known to work on this kernel; "
      + "tracepoint sock_recv_length with sk_data_ready: this kernel has no sock_recv_length and no sk_data_ready"
    #expect(rxg1.notes == ["udp: absent because \(reason)"])
    #expect(rxg1.parts[1].absence?.reason == reason)
    #expect(rxg1.parts[1].absence?.kind == .notInThisKernel)
    #expect(resolved.warnings == ["rxg1 (udp) is absent: \(reason)"])
    #expect(resolved.programs.contains("raw_tp_sys_enter"))
    #expect(!resolved.programs.contains("kprobe_skb_consume_udp"))
  }

  @Test func hostNICResolvesOnEachKernel() throws {
    #expect(
      try attached("host-nic", Kernels.debian61) == [
        "txg0": "tp_btf:sys_enter+net_dev_queue",
        "txg1": "tp_btf:net_dev_queue",
        "txh1": "tp_btf:net_dev_start_xmit",
        "txh2": "tp_btf:consume_skb+net_dev_start_xmit",
        "rxh0": "napi=tp_btf:napi_gro_receive_entry plain=tp_btf:netif_rx",
        "rxg1": "tcp=tp_btf:skb_copy_datagram_iovec udp=fentry:skb_consume_udp",
      ])
    var noGRO = Kernels.debian61
    noGRO.tracepoints.remove("napi_gro_receive_entry")
    #expect(try attached("host-nic", noGRO)["rxh0"] == "napi=fentry:napi_gro_receive plain=tp_btf:netif_rx")
  }

  @Test func aSideTakesItsHooksAndKeepsThePathsWhole() throws {
    #expect(try attached("veth", Kernels.locked618, side: .host).keys.sorted() == ["rxh1", "txh0"])
    #expect(try attached("veth", Kernels.locked618, side: .guest).count == 5)
    let resolved = try library.load("veth").resolve(
      facts: Kernels.locked618, programs: Kernels.programs, side: .host)
    #expect(resolved.recordedPaths.map(\.hooks.count) == [4, 3, 7])
    #expect(throws: TopologyError.self) { try attached("host-nic", Kernels.locked618, side: .guest) }
  }
}
