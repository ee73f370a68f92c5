// SPDX-License-Identifier: GPL-2.0-or-later
import Topology

/// Imagined kernels, after real ones.
enum Kernels {
  static let tracepoints61: Set<String> = [
    "sys_enter", "net_dev_queue", "net_dev_start_xmit", "netif_rx", "netif_receive_skb", "napi_gro_receive_entry",
    "skb_copy_datagram_iovec", "consume_skb", "kfree_skb",
  ]
  static let functions: Set<String> = programFunctions.subtracting([
    "gro_receive_skb", "handle_tx", "skb_recv_done", "virtqueue_notify",
  ]).union(["udp_recvmsg"])
  /// Those that this build has programs for.
  static let programFunctions: Set<String> = [
    "udp_sendmsg", "udpv6_sendmsg", "tcp_sendmsg", "__dev_queue_xmit", "dev_hard_start_xmit", "netif_rx_internal",
    "netif_rx", "__netif_rx", "netif_receive_skb", "netif_receive_skb_list_internal", "napi_gro_receive",
    "gro_receive_skb", "consume_skb", "napi_consume_skb", "skb_copy_datagram_iter", "skb_consume_udp",
    "handle_tx", "skb_recv_done", "virtqueue_notify",
  ]

  /// A locked-down 6.18: BTF tracepoints only.
  static let locked618 = KernelFacts(
    release: "6.18.44",
    rungs: [
      .tpBTF: .ok, .rawTP: .ok, .fentry: .refused("EPERM"), .kprobe: .unsupported("not built into this kernel"),
    ],
    tracepoints: tracepoints61.union(["sock_send_length", "sock_recv_length", "sk_data_ready"]), functions: functions)

  /// Debian's 6.1: every rung, without the socket tracepoints of 6.3 and later.
  static let debian61 = KernelFacts(
    release: "6.1.0-50-amd64", rungs: [.tpBTF: .ok, .rawTP: .ok, .fentry: .ok, .kprobe: .ok],
    tracepoints: tracepoints61, functions: functions)

  /// Debian's 6.12, from backports: with the socket tracepoints.
  static let debian612 = KernelFacts(
    release: "6.12.117+deb12-amd64", rungs: [.tpBTF: .ok, .rawTP: .ok, .fentry: .ok, .kprobe: .ok],
    tracepoints: locked618.tracepoints, functions: functions)

  /// The oldest supported one, built without function tracing.
  static let old510 = KernelFacts(
    release: "5.10.0",
    rungs: [.tpBTF: .ok, .rawTP: .ok, .fentry: .unsupported("not built into this kernel"), .kprobe: .ok],
    tracepoints: tracepoints61, functions: functions)

  /// No BTF: raw tracepoints alone.
  static let withoutBTF = KernelFacts(
    release: "6.1.0-nobtf",
    rungs: [
      .tpBTF: .unsupported("needs BTF, which this kernel has not"), .rawTP: .ok,
      .fentry: .unsupported("needs BTF, which this kernel has not"),
    ],
    tracepoints: tracepoints61, functions: functions)

  /// Function tracing alone: what is left where tracepoints are not.
  static let functionsAlone: KernelFacts = {
    var facts = debian61
    facts.rungs = [.tpBTF: .unsupported("none"), .rawTP: .unsupported("none"), .fentry: .ok, .kprobe: .ok]
    return facts
  }()

  /// Every program that the shipped topologies could ask for.
  static let programs: Set<String> = {
    let tracepoints = tracepoints61.union(["sock_recv_length", "sk_data_ready"])
    return Set(tracepoints.flatMap { ["tp_btf_\($0)", "raw_tp_\($0)"] })
      .union(programFunctions.flatMap { ["fentry_\($0)", "kprobe_\($0)"] })
  }()
}
