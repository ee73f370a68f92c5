// SPDX-License-Identifier: GPL-2.0-or-later
internal import CBPF
internal import CLatprobeABI
internal import Host
internal import Recording
internal import Topology

/// Where in the kernel a symbol's program sits (`enum lp_site`), and whether that is a device or a socket.
private let sites: [String: lp_site] = [
  "net_dev_queue": LP_AT_DEV_QUEUE,
  "__dev_queue_xmit": LP_AT_DEV_QUEUE,
  "net_dev_start_xmit": LP_AT_START_XMIT,
  "dev_hard_start_xmit": LP_AT_START_XMIT,
  "netif_rx": LP_AT_NETIF_RX,
  "__netif_rx": LP_AT_NETIF_RX,
  "netif_rx_internal": LP_AT_NETIF_RX,
  "netif_receive_skb": LP_AT_NETIF_RECEIVE,
  "netif_receive_skb_list_internal": LP_AT_NETIF_RECEIVE,
  "napi_gro_receive_entry": LP_AT_NAPI_GRO,
  "napi_gro_receive": LP_AT_NAPI_GRO,
  "gro_receive_skb": LP_AT_NAPI_GRO,
  "consume_skb": LP_AT_CONSUME,
  "napi_consume_skb": LP_AT_CONSUME,
  "sys_enter": LP_AT_SEND_CALL,
  "tcp_sendmsg": LP_AT_SEND_CALL,
  "udp_sendmsg": LP_AT_SEND_CALL,
  "udpv6_sendmsg": LP_AT_SEND_CALL,
  "skb_copy_datagram_iovec": LP_AT_STREAM_COPY,
  "skb_copy_datagram_iter": LP_AT_STREAM_COPY,
  "sock_recv_length": LP_AT_DATAGRAM_READ,
  "handle_tx": LP_AT_WORKER,
  "skb_recv_done": LP_AT_INTERRUPT,
  "virtqueue_notify": LP_AT_KICK,
  "skb_consume_udp": LP_AT_DATAGRAM_READ,
]

/// The rows of the map `targets`: for each watched device, and for each namespace's sockets, the hook point
/// that a packet passes at each site.
struct Targets {
  struct Key: Hashable {
    /// Cookie of the namespace, or its inode number where the kernel has no cookies to ask for.
    var namespace: UInt64
    /// 0: sockets.
    var index: UInt32
  }

  struct Row {
    var name = ""
    var isEthernet = false
    /// Of a tunnel's packets the one within is stamped, at all of the device's hook points.
    var looksWithin = false
    /// Hook point by site.
    var hooks: [Int: HookPoint] = [:]
    /// A namespace's: packets that are thrown away there are told.
    var tellsDrops = false
  }

  private(set) var rows: [Key: Row] = [:]
  /// By inode number of the namespace; empty where the kernel has none to ask for.
  let cookies: [UInt32: UInt64]

  /// Whether some device is watched for the packets within tunnels.
  var looksWithin: Bool { rows.values.contains { $0.looksWithin } }

  /// Whether something is bound to packets at another site than its own.
  var hasWakeups: Bool {
    let own = Set([LP_AT_WORKER, LP_AT_INTERRUPT, LP_AT_KICK].map { Int($0.rawValue) })
    return rows.values.contains { !own.isDisjoint(with: $0.hooks.keys) }
  }

  init(_ resolved: ResolvedTopology, _ plan: WatchPlan, tellsDrops: Bool) throws(KernelError) {
    try Targets.checkPrograms(resolved.attachedHooks)
    var cookies: [UInt32: UInt64] = [:]
    for namespace in plan.namespaces { cookies[namespace.inode] = try namespace.cookie() }
    self.cookies = cookies
    for hook in resolved.attachedHooks {
      for probe in hook.probes {
        guard let site = sites[probe.symbol] else {
          throw KernelError("\(hook.point.name): latprobe has no place for \(probe.symbol)")
        }
        for (key, row) in targets(hook.watch, plan) {
          let index = Int(site.rawValue)
          if let other = rows[key]?.hooks[index], other != hook.point {
            throw KernelError(
              "\(probe.symbol) would be both \(other.name) and \(hook.point.name) on one device; "
                + "check the topology and --dev")
          }
          rows[key, default: row].hooks[index] = hook.point
          if hook.looksWithin { rows[key]?.looksWithin = true }
        }
      }
    }
    guard tellsDrops else { return }
    for namespace in plan.namespaces {
      rows[Key(namespace: id(of: namespace.inode), index: 0), default: Row()].tellsDrops = true
    }
  }

  /// A program serves its site on all devices, so a second one there would stamp every packet again.
  private static func checkPrograms(_ hooks: [ResolvedHook]) throws(KernelError) {
    var owners: [UInt32: (hook: String, programs: Set<String>)] = [:]
    for hook in hooks {
      for probe in hook.probes {
        var own: [UInt32: Set<String>] = [:]
        for symbol in [probe.symbol] + probe.with {
          if let site = sites[symbol] { own[site.rawValue, default: []].insert(probe.rung.program(for: symbol)) }
        }
        for (site, programs) in own {
          if let owner = owners[site], owner.programs != programs {
            throw KernelError(
              "\(owner.hook) and \(hook.point.name) would stamp each packet twice, by "
                + "\(owner.programs.union(programs).sorted().joined(separator: " and ")); "
                + "name the same candidates and rungs for both in the topology")
          }
          owners[site] = (hook.point.name, programs)
        }
      }
    }
  }

  private func targets(_ watch: Topology.Watch, _ plan: WatchPlan) -> [(Key, Row)] {
    watch == .guestSocket
      ? plan.socketNamespaces.map { (Key(namespace: id(of: $0.inode), index: 0), Row()) }
      : plan.devices(watch).map {
        (
          Key(namespace: id(of: $0.namespace.inode), index: UInt32($0.index)),
          Row(name: $0.name, isEthernet: $0.isEthernet)
        )
      }
  }

  private func id(of inode: UInt32) -> UInt64 { cookies[inode] ?? UInt64(inode) }

  /// Puts what is watched of a device to the index that it has now; nil if nothing is watched of it.
  /// - Returns: the row to take away, and the one to put in.
  mutating func follow(_ name: String, inNamespace inode: UInt32, to index: Int) -> (old: Key, new: Key)? {
    let id = id(of: inode)
    guard let old = rows.first(where: { $0.key.namespace == id && $0.value.name == name })?.key else { return nil }
    let new = Key(namespace: id, index: UInt32(index))
    rows[new] = rows.removeValue(forKey: old)
    return (old, new)
  }
}
