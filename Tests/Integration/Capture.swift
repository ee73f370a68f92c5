// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
import Foundation
import VirtualLab

/// One captured frame: when tcpdump's tap saw it, and who latprobe's key says it is.
struct CapturedPacket {
  /// Nanoseconds of CLOCK_REALTIME.
  var time: Int64
  var key: UInt64
  var destinationPort: UInt16
}

/// The packets of a pcap file with nanosecond times, as this machine writes it.
struct Capture {
  var packets: [CapturedPacket] = []

  init(path: String) throws {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    func word(_ at: Int) throws -> UInt32 {
      guard at + 4 <= bytes.count else {
        throw TestbedError(description: "\(path) ends within a record")
      }
      return (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
    }
    // File header: magic for little-endian nanoseconds, and at 20 the link type, Ethernet.
    guard try word(0) == 0xa1b2_3c4d, try word(20) == 1 else {
      throw TestbedError(description: "\(path) is no nanosecond capture of Ethernet frames")
    }
    var at = 24
    while at < bytes.count {
      let time = Int64(try word(at)) * 1_000_000_000 + Int64(try word(at + 4))
      let (captured, length) = (try word(at + 8), try word(at + 12))
      at += 16
      guard at + Int(captured) <= bytes.count else { throw TestbedError(description: "\(path) ends within a frame") }
      let frame = Array(bytes[at..<at + Int(captured)])
      at += Int(captured)
      var packet = lp_packet()
      guard unsafe lp_packet_of_frame(&packet, frame, captured, length, Int32(LP_IDENTITY_FULL.rawValue)) == 0 else {
        throw TestbedError(description: "\(path): a frame at byte \(at) that is no IP packet")
      }
      packets.append(CapturedPacket(time: time, key: packet.key, destinationPort: packet.destination_port))
    }
  }
}

/// tcpdump on one device, into a file of its own.
struct Dump {
  let command: Command
  let path: String

  /// Ends it in order and reads what it wrote.
  func finish() throws -> Capture {
    try end()
    return try Capture(path: path)
  }

  /// Ends it in order; tcpdump itself must say that it dropped nothing.
  func end() throws {
    command.signal(SIGINT)
    let output = try command.wait(limit: 10)
    guard output.status == 0, output.errors.contains("\n0 packets dropped by kernel") else {
      throw TestbedError(description: "tcpdump dropped packets or failed: \(output.errors)")
    }
  }
}

extension Testbed {
  /// Starts tcpdump on a device; back once it listens.
  ///
  /// - Parameter snap: bytes to keep of a packet, 0 for all.
  func dump(in namespace: String, _ device: String, _ filter: String, snap: Int = 128) throws -> Dump {
    let path = path("\(device)@\(namespace).pcap")
    let command = try start(
      in: namespace, "tcpdump", "-i", device, "-w", path, "--time-stamp-precision=nano", "-s", "\(snap)", "-B", "16384",
      "-Z", "root", filter)
    try command.expect("listening on")
    return Dump(command: command, path: path)
  }
}
