// SPDX-License-Identifier: GPL-2.0-or-later
import Host
import Probing
import Testing

/// What libpcap's compiler can make of an expression is run both ways: libpcap's interpreter has the say.
@Suite struct FilterTests {
  static let expressions = [
    "udp port 5001", "tcp portrange 5000-5300", "host 10.77.0.1", "net 10.77.0.0/16", "ip6", "ip", "icmp", "icmp6",
    "vlan 5", "vlan and udp", "vlan and vlan and tcp", "ether host 02:00:00:00:00:01", "ether src 02:00:00:00:00:01",
    "tcp[tcpflags] & tcp-syn != 0", "tcp[tcpflags] & (tcp-syn|tcp-fin) == tcp-fin", "greater 80", "less 70",
    "len > 100",
    "len = 60 or len = 61", "not udp", "udp and not port 53", "tcp or icmp", "ip[8] < 5", "ip6[7] > 4",
    "src host 10.77.0.2",
    "dst host 10.77.0.3", "src net 10.77.0.0/24 and dst port 80", "src host fd77::2", "dst net fd77::/16",
    "ip6 and tcp port 80",
    "ip6 and udp src port 5002", "udp[4:2] > 40", "udp[8:4] & 0x01000100 = 0", "tcp[12] >> 4 > 5",
    "tcp[2:2] * 2 > 10000",
    "ip[2:2] - ip[4:2] > 30000", "ip[4:2] / 3 > 7000", "ip[4:2] % 7 = 3", "ip[4:2] ^ 0x5555 > 30000",
    "ip[4:2] | 0xff0f = 0xff3f",
    "ip[9] + ip[8] > 20", "(ip[0] & 0xf) * 4 > 20", "ip[6:2] & 0x1fff != 0", "ip[(ip[0] & 0xf) * 4:2] = 5001",
    "tcp[((tcp[12] & 0xf0) >> 2):1] > 128", "ip[4:2] / ip[8] > 5000", "ip[4:2] % ip[1] = 0", "ip[1] / (ip[8] - 5) > 1",
    "1 << ip[1] > 1000", "0xffffff >> ip[1] > 5", "-ip[8] < 0xfffffffc", "0 - ip[8] > 0xfffffff8",
    "ip[ip[8] - 6] > 3", "ip[0xffffffff + ip[8]] > 3", "ether[len - 3] > 127",
    "ip proto 6", "ip multicast", "ether[12:2] = 0x800",
    "ether broadcast or ether multicast", "(udp port 5001 or tcp port 5201) and (host 10.77.0.1 or host fd77::1)",
    "ether[127] > 5", "ether[124:4] > 0x80000000", "icmp[icmptype] = icmp-echo",
    "port 53 or port 80 or port 5001 or port 5201",
    "",
  ]

  @Test(arguments: expressions) func verdictsAreThoseOfLibpcap(_ expression: String) throws {
    let filter = try Filter(expression)
    let body = try FilterTranslation.body(of: filter)
    var random = Seeded(state: 5001)
    var yes = 0
    var no = 0
    for frame in manyFrames(&random, count: 1500) {
      let expected = filter.matches(frame)
      let verdict = try Interpreter.run(body, frame: frame, length: frame.count) != 0
      try #require(verdict == expected, "\(frame)")
      if expected { yes += 1 } else { no += 1 }
    }
    // Verdicts of one sort alone would be no comparison.
    #expect(yes > 0, "\(expression)")
    #expect(no > 0 || expression.isEmpty, "\(expression)")
  }

  /// A frame that ends too early is left out wherever it ends, as in classic BPF.
  @Test(arguments: expressions) func everyTruncationHasTheSameVerdict(_ expression: String) throws {
    let filter = try Filter(expression)
    let body = try FilterTranslation.body(of: filter)
    let long = [UInt8](0..<100)
    let shapes: [FrameBuilder] = [
      .udp(long), .udp(long).ipv6(), .tcp(long, options: [1, 1, 1, 0]), .tcp(long, flags: 2).ipv6(),
      .icmp(payload: long),
      .udp(long).with { $0.vlans = [(0x8100, 5)] }, .udp(long).with { $0.ipOptions = [1, 1, 1, 0] },
    ]
    for whole in shapes.map({ Array($0.bytes.prefix(128)) }) {
      for count in 1...whole.count {
        let frame = Array(whole.prefix(count))
        let verdict = try Interpreter.run(body, frame: frame, length: count) != 0
        let expected = filter.matches(frame)
        try #require(verdict == expected, "\(count) bytes of \(whole)")
      }
    }
  }

  @Test func theLengthIsThePacketsNotWhatCanBeRead() throws {
    let body = try FilterTranslation.body(of: Filter("greater 1000"))
    let frame = Array(FrameBuilder.udp([UInt8](repeating: 7, count: 86)).bytes.prefix(128))
    #expect(try Interpreter.run(body, frame: frame, length: 1000) == 1)
    #expect(try Interpreter.run(body, frame: frame, length: 999) == 0)
  }

  @Test func nothingToReadIsLeftOut() throws {
    for expression in ["", "udp", "not udp", "less 100"] {
      #expect(try Interpreter.run(FilterTranslation.body(of: Filter(expression)), frame: [], length: 60) == 0)
    }
  }

  @Test(arguments: [
    "ether[128] > 3", "ether[127:2] > 3", "ether[125:4] > 3", "udp[200] = 1", "ether[0xffffff80 + ether[19]] > 3",
  ])
  func bytesThatNoProgramSeesAreRefused(_ expression: String) throws {
    let filter = try Filter(expression)
    let error = try #require(throws: FilterError.self) { try FilterTranslation.body(of: filter) }
    #expect(error.description.contains("filter '\(expression)'") && error.description.contains("first 128"), "\(error)")
    #expect(!error.description.contains("\n"))
  }

  @Test func theLastVisibleByteIsSeen() throws {
    let frame = [UInt8](repeating: 0, count: 127) + [9]
    #expect(try Interpreter.run(FilterTranslation.body(of: Filter("ether[127] = 9")), frame: frame, length: 128) == 1)
    #expect(
      try Interpreter.run(
        FilterTranslation.body(of: Filter("ether[127] = 9")), frame: Array(frame.dropLast()), length: 128) == 0)
  }

  @Test func aFilterThatDoesNotFitIsRefused() throws {
    let filter = try Filter((1...1100).map { "ip[4:2] = \($0 * 7)" }.joined(separator: " or "))
    let error = try #require(throws: FilterError.self) { try FilterTranslation.body(of: filter) }
    #expect(error.description.contains("too long") && error.description.contains("1025"))
  }

  /// Of somebody else's words a host's agent compiles 4 KiB, room for 800 ports. Behind VLAN tags a quarter is too much.
  @Test func aFilterThatTakesLibpcapLongIsRefused() throws {
    let filter = try Filter((1...200).map { "port \($0)" }.joined(separator: " or "))
    let error = try #require(throws: FilterError.self) { try filter.throughTags() }
    #expect(error.description.contains("libpcap does not compile it within 4 s and 256 MiB"))
    // At once: its first table is too large.
    let longer = try #require(throws: FilterError.self) {
      try Filter((1...2000).map { "port \($0)" }.joined(separator: " or "))
    }
    #expect(longer.description.contains("libpcap does not compile it within 4 s and 256 MiB"))
  }

  @Test(arguments: ["ip protochain 17", "ip6 protochain 17"]) func aLoopIsRefused(_ expression: String) throws {
    let error = try #require(throws: FilterError.self) { try FilterTranslation.body(of: Filter(expression)) }
    #expect(error.description.contains("filter '\(expression)'") && error.description.contains("loop"), "\(error)")
  }

  /// Jumps reach across a body that all but fills the room.
  @Test func aFilterThatJustFitsWorks() throws {
    let filter = try Filter((1...500).map { "ip[4:2] = \($0 * 7)" }.joined(separator: " or "))
    let body = try FilterTranslation.body(of: filter)
    #expect(body.count > 600 && body.count <= 1025, "\(body.count)")
    for id in 1...4000 {
      let frame = FrameBuilder.udp().with { $0.id = id }.bytes
      #expect(try Interpreter.run(body, frame: frame, length: frame.count) == (id % 7 == 0 && id <= 3500 ? 1 : 0))
    }
  }

  @Test(arguments: [
    ("udp prt 5", "syntax error"), ("ip broadcast", "netmask"), ("ip proto bogus", "bogus"), ("port 99999", "99999"),
  ])
  func badSyntaxHasLibpcapsWords(_ expression: String, _ words: String) throws {
    let error = try #require(throws: FilterError.self) { try Filter(expression) }
    #expect(error.description.hasPrefix("filter '\(expression)': "))
    #expect(error.description.contains(words), "\(error)")
    #expect(error.description.hasSuffix("see the pcap-filter manual page for its syntax"))
  }
}
