// SPDX-License-Identifier: GPL-2.0-or-later

/// What packets were that no protocol was asked for: who asked for the wrong one is told what is there.
package struct Strangers: Sendable {
  /// Ports that are counted at most; a scan has more, and tells nothing by them.
  private static let limit = 1_024

  private struct Service: Hashable {
    var transport: Transport
    var port: UInt16
  }
  private enum Transport: String {
    case udp = "UDP"
    case tcp = "TCP"
    case icmp = "ICMP"
  }

  package private(set) var packets = 0
  private var counts: [Service: Int] = [:]

  /// Of the two ports the lower one is the server's, as a rule.
  mutating func count(_ packet: Dissected) {
    packets += 1
    let transport: Transport =
      switch packet.transport {
      case .udp: .udp
      case .tcp: .tcp
      case .icmp: .icmp
      }
    let service = Service(transport: transport, port: min(packet.source.port, packet.destination.port))
    if counts[service] != nil || counts.count < Strangers.limit { counts[service, default: 0] += 1 }
  }

  /// The most frequent ones, `UDP port 53` or `ICMP`, and their packets.
  package func most(_ number: Int) -> [(name: String, packets: Int)] {
    let sorted = counts.sorted { ($1.value, $0.key.port) < ($0.value, $1.key.port) }
    return sorted.prefix(number).map { service, packets in
      let name = service.transport.rawValue
      return (name: service.transport == .icmp ? name : "\(name) port \(service.port)", packets: packets)
    }
  }
}
