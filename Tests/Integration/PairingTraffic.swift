// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Pairing
import VirtualLab

/// Traffic of real servers (Tests/Fixtures/pairing_traffic.py), captured once, and what tshark says of it.
struct PairingTraffic {
  var packets: [PairingPacket]
  /// By display filter: the rows of fields.
  private var rows: [String: [[String]]] = [:]

  static let captured = Result { try PairingTraffic() }

  private static let queries: [(filter: String, fields: [String])] = [
    ("dns.time", ["dns.time"]), ("icmp.resptime", ["icmp.resptime"]), ("icmpv6.resptime", ["icmpv6.resptime"]),
    ("http.time", ["http.time"]), ("tcp.analysis.ack_rtt", ["tcp.analysis.ack_rtt"]),
    ("sip.response-time and sip.Status-Code", ["sip.response-time"]),
    ("sip", ["ip.src", "ip.dst", "sip.Method", "sip.Status-Code", "sip.CSeq.method", "sip.Call-ID"]),
    ("tcp.port == 6379 and tcp.len > 0", ["tcp.dstport"]),
    ("tcp.port == 11211 and tcp.len > 0", ["tcp.dstport", "tcp.stream"]),
  ]

  /// tshark's rows: the frame's time, and the fields.
  func tshark(_ filter: String) throws -> [[String]] {
    guard let rows = rows[filter] else { throw TestbedError(description: "tshark was not asked for \(filter)") }
    return rows
  }

  private init() throws {
    let bed = try Testbed()
    for program in ["tshark", "tcpdump", "dnsmasq", "python3", "ping"] {
      guard try bed.attempt("which", program).status == 0 else {
        throw TestbedError(description: "\(program) is missing: run `make deps`")
      }
    }
    let script = Testbed.fixture("pairing_traffic.py")
    try bed.run("ip", "-n", bed.a, "addr", "add", "10.77.0.3/24", "dev", "eth0")
    try bed.serveNames()
    try bed.serveMemcached()
    try bed.serveRedis()
    for (namespace, role) in [
      (bed.b, ["web-server", "10.77.0.2"]), (bed.b, ["sip-proxy", "10.77.0.2", "10.77.0.3"]),
      (bed.a, ["sip-callee", "10.77.0.3"]),
    ] {
      try bed.start(["ip", "netns", "exec", namespace, "python3", script] + role).expect("ready")
    }
    let path = bed.path("pairing.pcap")
    let dump = try bed.start(
      in: bed.b, "tcpdump", "-i", "eth0", "-w", path, "--time-stamp-precision=nano", "-s", "0", "-B", "16384",
      "--immediate-mode", "-Z", "root")
    try dump.expect("listening on")
    for address in ["10.77.0.2", "fd77::2"] {
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-c", "23", "-i", "0.01", address)
    }
    for role in [["dns"], ["web"], ["memcached"], ["redis"], ["sip-caller", "10.77.0.1"]] {
      let client = try bed.start(["ip", "netns", "exec", bed.a, "python3", script] + role + ["10.77.0.2"])
      let output = try client.wait(limit: 30)
      guard output.status == 0 else { throw TestbedError(description: "\(role): \(output.errors)") }
    }
    // What the kernel still holds when tcpdump ends is not written.
    usleep(500_000)
    dump.signal(SIGINT)
    let output = try dump.wait(limit: 10)
    guard output.status == 0, output.errors.contains("\n0 packets dropped by kernel") else {
      throw TestbedError(description: "tcpdump dropped packets or failed: \(output.errors)")
    }

    packets = try PairingTraffic.read(path)
    guard output.errors.contains("\n\(packets.count) packets received by filter") else {
      throw TestbedError(description: "tcpdump wrote \(packets.count) packets of those: \(output.errors)")
    }
    for query in PairingTraffic.queries {
      let fields = (["frame.time_epoch"] + query.fields).flatMap { ["-e", $0] }
      let command = try bed.start(
        ["tshark", "-r", path, "-n", "-o", "dns.retransmission_timer:7", "-Y", query.filter, "-T", "fields"] + fields)
      let output = try command.wait(limit: 60)
      guard output.status == 0 else { throw TestbedError(description: "tshark: \(output.errors)") }
      rows[query.filter] = output.text.split(separator: "\n").map { line in
        line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      }
    }
  }

  /// A pcap file with nanosecond times, as this machine writes it.
  private static func read(_ path: String) throws -> [PairingPacket] {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
    guard bytes.count >= 24, word(0) == 0xa1b2_3c4d else {
      throw TestbedError(description: "\(path) is no nanosecond capture")
    }
    var packets: [PairingPacket] = []
    var at = 24
    while at + 16 <= bytes.count {
      let body = at + 16..<at + 16 + word(at + 8)
      packets.append(
        PairingPacket(
          time: Int64(word(at)) * 1_000_000_000 + Int64(word(at + 4)), linkType: word(20), length: word(at + 12),
          bytes: Array(bytes[body])))
      at = body.upperBound
    }
    return packets
  }
}
