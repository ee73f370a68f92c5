// SPDX-License-Identifier: GPL-2.0-or-later
package import Host
package import Topology

/// The guests that a recording on their host is about, and where their packets pass.
package struct GuestChoice: Sendable, Equatable {
  /// Those whose threads and clocks are recorded.
  package var guests: [KVMGuest]
  /// The guest's ends on the host: `--tap`, else those of the guest that was named.
  package var taps: [String]
  /// The NICs: `--dev`, else what the bridges of the taps lead to; empty where neither says.
  package var devices: [String]

  /// - Parameters:
  ///   - name: `--guest-name`; without it, the guests that hold `taps`, or all.
  ///   - taps: `--tap`.
  ///   - devices: `--dev`.
  ///   - links: the devices of each namespace that may hold the taps.
  ///   - root: where /run is; empty for the machine's own.
  package static func make(
    name: String?, taps: [String], devices: [String], side: Topology.Side?, among guests: [KVMGuest], links: [[Link]],
    root: String = ""
  ) throws(KernelError) -> GuestChoice {
    var choice = GuestChoice(guests: guests, taps: taps, devices: devices)
    if let name {
      guard side == .host else {
        throw KernelError("--guest-name is for the guest's host: add --side host there, or leave --guest-name out")
      }
      try choice.choose(KVMGuest.named(name, among: guests, root: root))
    } else if !taps.isEmpty {
      let holders = guests.filter { guest in guest.taps.contains { taps.contains($0.name) } }
      if !holders.isEmpty { choice.guests = holders }
    }
    if devices.isEmpty && !choice.taps.isEmpty {
      choice.devices = links.flatMap { GuestPath.uplinks(of: choice.taps, links: $0) }.map(\.name)
    }
    guard name == nil || !choice.devices.isEmpty else {
      throw KernelError("no NIC is a port of a bridge with \(choice.taps.joined(separator: " ")): name it with --dev")
    }
    return choice
  }

  private mutating func choose(_ guest: KVMGuest) throws(KernelError) {
    guests = [guest]
    if !taps.isEmpty { return }
    taps = guest.taps.map(\.name)
    guard taps.isEmpty else { return }
    let ways = GuestPath(guest, links: []).unfollowed
    throw KernelError(
      "guest \(guest.name) (\(guest.pid)) has no tap that latprobe could watch; "
        + (ways.isEmpty ? "give it one in a bridge" : "it uses \(ways.joined(separator: ", "))"))
  }
}
