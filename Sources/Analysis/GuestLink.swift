// SPDX-License-Identifier: GPL-2.0-or-later
import Clocks
import Recording

/// Which of a host's virtual machines and peers a recorded guest is.
struct GuestLink {
  /// Process id of the virtual machine, as in the host's `guest_counter` events.
  private(set) var pid: UInt32?
  /// Number of the peer, as in the host's `clock_exchange` events.
  private(set) var peer: UInt32?

  /// The kernel that recorded something about guests' clocks; else the only one in the role of a host.
  static func host(of kernels: [[MachineRecording]]) -> Int? {
    func isHost(_ recording: MachineRecording) -> Bool {
      !recording.guestCounters.isEmpty || !recording.clockExchanges.isEmpty
        || recording.machine.guests?.isEmpty == false || recording.machine.peers?.isEmpty == false
    }
    if let known = kernels.firstIndex(where: { $0.contains(where: isHost) }) { return known }
    let hosts = kernels.indices.filter { kernels[$0].contains { $0.machine.role == "host" } }
    return hosts.count == 1 ? hosts.first : nil
  }

  /// Names of machines that claim the boot id of the one that reached them as a peer, and are not known to run on its kernel:
  /// reached within the machine they are, and else by messages that never arrived before they were sent, on one clock.
  static func strangers(_ recordings: [MachineRecording]) -> Set<String> {
    var strangers: Set<String> = []
    for host in recordings {
      let exchangesByPeer = Dictionary(grouping: host.clockExchanges, by: \.peer)
      for peer in host.machine.peers ?? [] where peer.bootID == host.machine.bootID && !peer.url.hasPrefix("unix:") {
        let exchanges = exchangesByPeer[peer.number] ?? []
        let isOneClock = exchanges.allSatisfy {
          $0.sent <= $0.peerReceived && $0.peerReceived <= $0.peerSent && $0.peerSent <= $0.received
        }
        if exchanges.count < 2 || !isOneClock { strangers.insert(peer.machine) }
      }
    }
    return strangers
  }

  /// By the address it was reached at, by the guest's product_uuid, by boot id, each where only one has it; one guest and one
  /// virtual machine belong together.
  init(host: [MachineRecording], guest: [MachineRecording], isOnly: Bool) {
    let bootID = guest.first?.machine.bootID
    let uuids = Set(guest.compactMap { $0.machine.settings["product_uuid"]?.lowercased() })
    let machines = host.flatMap { $0.machine.guests ?? [] }
    let peers = host.flatMap { $0.machine.peers ?? [] }
    let names = Set(guest.map(\.machine.name))
    let known = peers.first { names.contains($0.machine) } ?? only(peers, where: { $0.bootID == bootID })
    let alone = isOnly && peers.count == 1 ? peers.first : nil
    peer = (known ?? alone)?.number

    let counted = Set(host.flatMap { $0.guestCounters.map(\.guest) })
    let found =
      machines.first { machine in
        guard let cid = machine.vsockCID, let url = known?.url else { return false }
        return url == "vsock:\(cid)" || url.hasPrefix("vsock:\(cid):")
      }
      ?? only(machines, where: { $0.uuid.map { uuids.contains($0.lowercased()) } ?? false })
      ?? only(machines, where: { $0.bootID != nil && $0.bootID == bootID })
    if let found {
      pid = UInt32(exactly: found.pid)
    } else if isOnly, counted.count == 1 {
      pid = counted.first
    }
  }

  /// What the recordings say about the two clocks.
  func input(host: [MachineRecording], guest: [MachineRecording]) -> AlignmentInput {
    AlignmentInput(
      host: readings(host), guest: readings(guest),
      counters: host.flatMap(\.guestCounters).filter { $0.guest == pid }.map {
        CounterReading(
          at: Instant(nanoseconds: Int64(clamping: $0.time)), vcpu: Int($0.vcpu),
          scaling: CounterScaling(offset: $0.offset, ratio: $0.ratio, fractionBits: $0.fractionBits))
      },
      crossStamps: guest.filter { $0.machine.interfaces == nil }.flatMap(\.clockCrosses).map {
        CrossStamp(
          hostRealtime: Instant(nanoseconds: $0.deviceTime), guestRealtime: Instant(nanoseconds: $0.realtime),
          guestRaw: $0.monotonicRaw == 0 ? nil : Instant(nanoseconds: $0.monotonicRaw), window: Int64($0.window))
      },
      exchanges: host.flatMap(\.clockExchanges).filter { $0.peer == peer }.map {
        TwoWayExchange(
          hostSent: Instant(nanoseconds: $0.sent), guestReceived: Instant(nanoseconds: $0.peerReceived),
          guestSent: Instant(nanoseconds: $0.peerSent), hostReceived: Instant(nanoseconds: $0.received))
      })
  }

  private func readings(_ recordings: [MachineRecording]) -> [ClockReading] { recordings.flatMap(\.readings) }
}

extension MachineRecording {
  /// The machine's clock samples as the alignment takes them.
  var readings: [ClockReading] {
    clockSamples.map {
      ClockReading(
        monotonic: Instant(nanoseconds: Int64(clamping: $0.monotonic)), window: Int64($0.window),
        monotonicRaw: Instant(nanoseconds: $0.monotonicRaw), realtime: Instant(nanoseconds: $0.realtime),
        tai: Instant(nanoseconds: $0.tai), boottime: Instant(nanoseconds: $0.boottime), counter: $0.tsc)
    }
  }
}

private func only<Element>(_ elements: [Element], where isWanted: (Element) -> Bool) -> Element? {
  let found = elements.filter(isWanted)
  return found.count == 1 ? found.first : nil
}
