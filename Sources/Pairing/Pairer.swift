// SPDX-License-Identifier: GPL-2.0-or-later

/// The protocols that pairing knows. The raw value is the name by which one asks for it.
package enum PairingProtocol: String, CaseIterable, Sendable {
  case dns
  case icmp
  case memcached
  case redis
  case http
  /// Response times of each leg.
  case sip
  /// The same message entering and leaving a station.
  case sipForward = "sip-forward"
  /// STAMP and TWAMP test packets.
  case stamp
  case udpEcho = "udp-echo"
  case tcpHandshake = "tcp-handshake"
  /// From data to its acknowledgment.
  case tcpAcknowledgment = "tcp-ack"

  /// The server's ports unless others are given.
  package var defaultPorts: [UInt16] {
    switch self {
    case .dns: return [53]
    case .icmp, .tcpHandshake, .tcpAcknowledgment: return []
    case .memcached: return [11_211]
    case .redis: return [6_379]
    case .http: return [80, 8_080]
    case .sip, .sipForward: return [5_060]
    case .stamp: return [862]
    case .udpEcho: return [7]
    }
  }
}

/// Pairs the packets of one capture. Give it all packets in order of time, then ``finish()``; take the pairs out now and
/// then, since they are kept until then. All other state is bounded by ``PairingLimits``.
package final class Pairer {
  private struct Listener {
    var book: Book
    var datagrams: (any DatagramDialogue)?
    var stream: ((_ client: Endpoint, _ server: Endpoint) -> any StreamDialogue)?
  }
  private let limits: PairingLimits
  private let budget = BufferBudget()
  private var books: [Book] = []
  private var tally = PacketTally()
  private var udp: [UInt16: [Listener]] = [:]
  private var tcp: [UInt16: [Listener]] = [:]
  private var icmp: [any DatagramDialogue] = []
  /// They see every TCP segment.
  private var watchers: [any DatagramDialogue] = []
  /// By the server's port, segment by segment.
  private var segments: [UInt16: [any DatagramDialogue]] = [:]
  private var all: [any DatagramDialogue] = []
  /// What passed that no protocol was asked for.
  package private(set) var strangers = Strangers()
  private var connections: BoundedTable<ConnectionKey, TCPConnection>

  private struct ConnectionKey: Hashable {
    var low: Endpoint
    var high: Endpoint
    var book: String

    init(_ a: Endpoint, _ b: Endpoint, _ book: String) {
      (low, high) = a < b ? (a, b) : (b, a)
      self.book = book
    }
  }

  /// - Parameters:
  ///   - ports: the server's ports where they are not the usual ones.
  ///   - rules: protocols of one's own.
  ///   - stations: the addresses of each forwarding station that has several.
  package init(
    _ protocols: [PairingProtocol], ports: [PairingProtocol: [UInt16]] = [:], rules: [PairingRule] = [],
    stations: [[IPAddress]] = [], limits: PairingLimits = PairingLimits()
  ) {
    self.limits = limits
    connections = BoundedTable(limit: limits.connections)
    for kind in protocols { add(kind, ports: ports[kind] ?? kind.defaultPorts, stations: stations) }
    for rule in rules { add(rule) }
  }

  private func add(_ rule: PairingRule) {
    let book = Book(rule.name)
    books.append(book)
    let dialogue = RuleDialogue(book, rule: rule, limits: limits)
    all.append(dialogue)
    for port in Set(rule.ports) {
      switch rule.transport {
      case .udp: udp[port, default: []].append(Listener(book: book, datagrams: dialogue))
      case .tcp: segments[port, default: []].append(dialogue)
      }
    }
  }

  private func add(_ kind: PairingProtocol, ports: [UInt16], stations: [[IPAddress]]) {
    let book = Book(kind.rawValue)
    books.append(book)
    var listener = Listener(book: book)
    func watch(_ dialogue: any DatagramDialogue) {
      watchers.append(dialogue)
      all.append(dialogue)
    }
    func listen(_ dialogue: any SIPDialogue) {
      listener.datagrams = dialogue
      listener.stream = { SIPStream(dialogue, client: $0, server: $1) }
    }
    switch kind {
    case .dns:
      let dns = DNS(book, limits: limits)
      listener.datagrams = dns
      listener.stream = { DNSStream(dns, client: $0, server: $1) }
    case .icmp:
      let echo = ICMPEcho(book, limits: limits)
      icmp.append(echo)
      all.append(echo)
    case .memcached:
      listener.datagrams = MemcachedDatagrams(book, limits: limits)
      listener.stream = { MemcachedStream(book, client: $0, server: $1) }
    case .redis: listener.stream = { RedisStream(book, client: $0, server: $1) }
    case .http: listener.stream = { HTTPStream(book, client: $0, server: $1) }
    case .sip: listen(SIPResponses(book, limits: limits))
    case .sipForward: listen(SIPForwarding(book, stations: stations, limits: limits))
    case .stamp: listener.datagrams = STAMP(book, limits: limits)
    case .udpEcho:
      let rule = PairingRule(name: kind.rawValue, transport: .udp, ports: ports)
      listener.datagrams = RuleDialogue(book, rule: rule, limits: limits)
    case .tcpHandshake: watch(TCPHandshake(book, ports: ports, limits: limits))
    case .tcpAcknowledgment: watch(TCPAcknowledgment(book, ports: ports, limits: limits))
    }
    if let datagrams = listener.datagrams { all.append(datagrams) }
    for port in Set(ports) {
      if listener.datagrams != nil { udp[port, default: []].append(listener) }
      if listener.stream != nil { tcp[port, default: []].append(listener) }
    }
  }

  package var ledger: PairLedger {
    var ledger = PairLedger()
    ledger.packets = tally
    ledger.protocols = books.map { ($0.name, $0.tally) }
    return ledger
  }

  /// Bytes of TCP payload held in memory.
  package var heldBytes: Int { budget.used }

  /// The pairs since the last call, by protocol in the order of their ends.
  package func takePairs() -> [Pair] { takePairsByProtocol().flatMap(\.pairs) }

  package func takePairsByProtocol() -> [(name: String, pairs: [Pair])] {
    books.map { book in
      defer { book.pairs = [] }
      return (book.name, book.pairs)
    }
  }

  package func take(_ packet: PairingPacket) {
    tally.packets += 1
    if packet.bytes.count < packet.length { tally.truncated += 1 }
    switch dissect(packet) {
    case .packet(let packet):
      if !count(packet) { strangers.count(packet) }
      dispatch(packet)
    case .notIP: tally.notIP += 1
    case .fragment: tally.fragments += 1
    case .malformed: tally.malformed += 1
    case .other: tally.otherProtocols += 1
    case .truncated: tally.cutHeaders += 1
    }
  }

  /// Counts a packet as asked for; false if no protocol is to see it.
  private func count(_ packet: Dissected) -> Bool {
    let ports = [packet.source.port, packet.destination.port]
    switch packet.transport {
    case .icmp: guard !icmp.isEmpty else { return false }
    case .udp:
      guard ports.contains(where: { udp[$0] != nil }) else { return false }
      if packet.mayBeSeveral { tally.perhapsSeveral += 1 }
    case .tcp:
      guard !watchers.isEmpty || ports.contains(where: { tcp[$0] != nil || segments[$0] != nil }) else { return false }
    }
    tally.askedFor += 1
    return true
  }

  private func dispatch(_ packet: Dissected) {
    switch packet.transport {
    case .icmp: for dialogue in icmp { dialogue.take(packet, isRequest: false) }
    case .udp:
      let isRequest = udp[packet.destination.port] != nil
      guard let listeners = udp[isRequest ? packet.destination.port : packet.source.port] else { return }
      packet.forEachDatagram { datagram in
        for listener in listeners { listener.datagrams?.take(datagram, isRequest: isRequest) }
      }
    case .tcp(let header):
      for watcher in watchers { watcher.take(packet, isRequest: false) }
      let isRequest = segments[packet.destination.port] != nil
      for dialogue in segments[isRequest ? packet.destination.port : packet.source.port] ?? [] {
        dialogue.take(packet, isRequest: isRequest)
      }
      take(packet, header)
    }
  }

  private func take(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    let isAnswer = header.isSYN && header.isACK
    if !isAnswer, let listeners = tcp[packet.destination.port] {
      for listener in listeners { take(packet, header, listener, packet.source, packet.destination) }
    } else if let listeners = tcp[packet.source.port] {
      for listener in listeners { take(packet, header, listener, packet.destination, packet.source) }
    }
  }

  private func take(
    _ packet: Dissected, _ header: Dissected.TCPHeader, _ listener: Listener, _ client: Endpoint, _ server: Endpoint
  ) {
    let key = ConnectionKey(client, server, listener.book.name)
    var connection = connections[key]
    if let old = connection, old.isReplaced(by: header) {
      old.end(evicted: false)
      _ = connections.remove(key)
      connection = nil
    }
    if connection == nil, let stream = listener.stream {
      let new = TCPConnection(
        client: client, server: server, dialogue: stream(client, server), book: listener.book, limits: limits,
        budget: budget, isStart: header.isSYN)
      if let evicted = connections.insert(new, for: key) {
        evicted.end(evicted: true)
        tally.evictedConnections += 1
      }
      connection = new
    } else {
      connections.touch(key)
    }
    connection?.take(packet, header)
    if header.isRST, let connection {
      connection.end(evicted: false)
      _ = connections.remove(key)
    }
  }

  /// Packets are missing here, and nobody knows of whom: a gap on all TCP connections. What waits for an answer over datagrams
  /// is told apart by its key and goes on waiting.
  package func miss() { connections.forEach { $0.miss() } }

  /// The capture is over: whatever still waits has no answer.
  package func finish() {
    for connection in connections.removeAll() { connection.end(evicted: false) }
    for dialogue in all { dialogue.finish() }
  }
}
