// SPDX-License-Identifier: GPL-2.0-or-later
internal import Pairing
internal import Recording
import Stamping
internal import Tap

extension FuzzTarget {
  static let captures = [
    FuzzTarget("capture", "a capture file: pcap, pcapng, ERF, compressed or not") { bytes in
      let file = MemoryFile(bytes)
      guard let reader = try? CaptureReader(path: file.path) else { return }
      while let packet = try? reader.next() { precondition(packet.length >= packet.bytes.count) }
    },
    FuzzTarget("pair-file", "the packets of a capture file, paired by all protocols") { bytes in
      let file = MemoryFile(bytes)
      let pairer = Pairer(PairingProtocol.allCases)
      guard var pairing = try? PairImport(paths: [file.path], pairer: pairer) else { return }
      _ = try? pairing.run(hostname: "fuzz", session: "fuzz") { nil }
    },
    FuzzTarget("packet", "one packet (behind a byte for the link type) and its key") { bytes in
      guard let first = bytes.first else { return }
      let types = [0, 1, 12, 101, 108, 113, 228, 229, 276, Int(first)]
      let packet = CapturedPacket(
        time: 1, interface: 0, linkType: LinkType(number: types[Int(first) % types.count]),
        length: bytes.count - 1 + Int(first >> 4), bytes: Array(bytes.dropFirst()))
      var stamper = PacketStamper()
      var records: [UInt8] = []
      _ = stamper.append(packet, hook: .wireIn, time: 1, to: &records)
    },
  ]

  static let streams = PairingProtocol.allCases.map { kind in
    FuzzTarget("pair-\(kind.rawValue)", "what two stations say to each other in this protocol (fuzz/README.md)") {
      bytes in
      let port = kind.defaultPorts.first ?? 9
      let pairer = Pairer([kind], ports: kind.defaultPorts.isEmpty ? [:] : [kind: [port]])
      var conversation = Conversation(bytes, port: port, isICMP: kind == .icmp)
      while let packet = conversation.next() { pairer.take(packet) }
      pairer.finish()
      _ = pairer.takePairs()
    }
  }
}
