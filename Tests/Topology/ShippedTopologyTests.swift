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
    #expect(entries.map(\.name) == ["container", "host-nic", "kvm-user", "kvm-vhost", "kvm-vhost-fine", "veth"])
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

  /// Without the socket: the same on every kernel with tracepoints.
  private static let kvmDevices = [
    "txg1": "net_dev_queue", "txg2": "net_dev_start_xmit", "txh0": "netif_receive_skb", "txh1": "net_dev_start_xmit",
    "txh2": "consume_skb+net_dev_start_xmit", "rxh0": "napi_gro_receive_entry", "rxh1": "net_dev_start_xmit",
    "rxg0": "napi_gro_receive_entry", "txg0": "sys_enter+net_dev_queue",
  ]

  @Test(arguments: ["kvm-vhost", "kvm-user", "kvm-vhost-fine"])
  func virtualMachinesHaveTheTenHookPointsOfTheDesign(_ name: String) throws {
    let topology = try library.load(name)
    #expect(topology.hooks.filter { !$0.isOptional }.count == 10)
    #expect(topology.sides == [.guest, .host])
    let guest = try attached(name, Kernels.debian61, side: .guest)
    let host = try attached(name, Kernels.debian61, side: .host)
    #expect(Set(["rxg0", "rxg1", "txg0", "txg1", "txg2"]).isSubset(of: guest.keys))
    #expect(Set(["rxh0", "rxh1", "txh0", "txh1", "txh2"]).isSubset(of: host.keys))
    let taps = topology.hooks.filter { $0.watch == .guestTap && !$0.isOptional }
    #expect(taps.map(\.point) == [.txh0, .rxh1])
    let required = topology.paths.map { path in
      path.hooks.filter { hook in topology.hooks.contains { $0.point.name == hook && !$0.isOptional } }
    }
    #expect(
      required == [
        ["txg0", "txg1", "txg2", "txh0", "txh1", "txh2"], ["rxh0", "rxh1", "rxg0", "rxg1"],
        ["rxh0", "rxh1", "rxg0", "txg1", "txg2", "txh0", "txh1", "txh2"], ["txh1", "txh2"], ["rxh0"],
      ])
  }

  @Test(arguments: ["kvm-vhost", "kvm-user", "kvm-vhost-fine"])
  func virtualMachinesTakeTracepointsFirst(_ name: String) throws {
    for (kernel, rung, udp) in [
      (Kernels.locked618, "tp_btf", "tp_btf:sock_recv_length+sk_data_ready"),
      (Kernels.debian61, "tp_btf", "fentry:skb_consume_udp"), (Kernels.debian612, "tp_btf", "fentry:skb_consume_udp"),
      (Kernels.withoutBTF, "raw_tp", nil),
    ] as [(KernelFacts, String, String?)] {
      let found = try attached(name, kernel)
      for (hook, symbol) in ShippedTopologyTests.kvmDevices { #expect(found[hook] == "\(rung):\(symbol)") }
      #expect(found["rxg1"] == "tcp=\(rung):skb_copy_datagram_iovec" + (udp.map { " udp=" + $0 } ?? ""))
    }
  }

  @Test func theNICOfContainersIsLookedAtWithinTunnels() throws {
    let topology = try library.load("container")
    #expect(topology.hooks.filter(\.looksWithin).map(\.point) == [.txh1, .txh2, .rxh0])
    let resolved = try topology.resolve(facts: Kernels.debian61, programs: Kernels.programs)
    #expect(resolved.hooks.filter(\.looksWithin).map(\.point) == [.txh1, .txh2, .rxh0])
  }

  @Test func finerHookPointsAreThereWhereTheDriversAre() throws {
    #expect(try library.load("kvm-vhost-fine").hooks.filter(\.isOptional).count == 4)
    let bare = try library.load("kvm-vhost-fine").resolve(facts: Kernels.debian61, programs: Kernels.programs)
    #expect(bare.attachedHooks.map(\.point.name).filter { ["txgk", "txhk", "rxgi"].contains($0) } == [])
    #expect(bare.warnings == [])
    var kernel = Kernels.debian61
    kernel.functions.formUnion(["virtqueue_notify", "handle_tx", "skb_recv_done"])
    let found = try attached("kvm-vhost-fine", kernel)
    #expect(found["txgk"] == "fentry:virtqueue_notify" && found["txhk"] == "fentry:handle_tx")
    #expect(found["rxhc"] == "tp_btf:skb_copy_datagram_iovec" && found["rxgi"] == "fentry:skb_recv_done")
  }

  @Test func everyHookPointOfAVirtualMachineHasFunctionsToo() throws {
    for rung in ["fentry", "kprobe"] {
      var kernel = Kernels.functionsAlone
      if rung == "kprobe" { kernel.rungs[.fentry] = .refused("EPERM") }
      let found = try attached("kvm-vhost", kernel)
      #expect(found["txg0"] == "\(rung):udp_sendmsg+udpv6_sendmsg+tcp_sendmsg")
      #expect(found["txg1"] == "\(rung):__dev_queue_xmit")
      #expect(found["txg2"] == "\(rung):dev_hard_start_xmit")
      #expect(found["txh0"] == "\(rung):netif_receive_skb+netif_receive_skb_list_internal")
      #expect(found["txh1"] == found["txg2"] && found["rxh1"] == found["txg2"])
      #expect(found["txh2"] == "\(rung):consume_skb+napi_consume_skb+dev_hard_start_xmit")
      #expect(found["rxh0"] == "\(rung):napi_gro_receive" && found["rxg0"] == found["rxh0"])
      #expect(found["rxg1"] == "tcp=\(rung):skb_copy_datagram_iter udp=\(rung):skb_consume_udp")
    }
    // From 6.15 on napi_gro_receive is inlined, its body is gro_receive_skb.
    var newer = Kernels.functionsAlone
    newer.functions.remove("napi_gro_receive")
    newer.functions.insert("gro_receive_skb")
    newer.functions.remove("udpv6_sendmsg")
    #expect(try attached("kvm-vhost", newer)["rxh0"] == "fentry:gro_receive_skb")
    #expect(try attached("kvm-vhost", newer)["txg0"] == "fentry:udp_sendmsg+tcp_sendmsg")
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
