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
    var stream: ((StreamEnds) -> any StreamDialogue)?
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
  private var acknowledgments: TCPAcknowledgment?
  private var flows: BoundedTable<TCPFlow.Key, TCPFlow>
  /// The tags of flows that have some, by their key without.
  private var tagged: BoundedTable<TCPFlow.Key, VLANTags>
  /// How often the capture has told of losses.
  private var losses = 0

  /// - Parameters:
  ///   - ports: the server's ports where they are not the usual ones.
  ///   - rules: protocols of one's own.
  ///   - stations: the addresses of each forwarding station that has several.
  package init(
    _ protocols: [PairingProtocol], ports: [PairingProtocol: [UInt16]] = [:], rules: [PairingRule] = [],
    stations: [[IPAddress]] = [], limits: PairingLimits = PairingLimits()
  ) {
    self.limits = limits
    flows = BoundedTable(limit: limits.connections)
    tagged = BoundedTable(limit: limits.connections)
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
    func listen(_ dialogue: any SIPDialogue) {
      listener.datagrams = dialogue
      listener.stream = { SIPStream(dialogue, $0) }
    }
    switch kind {
    case .dns:
      let dns = DNS(book, limits: limits)
      listener.datagrams = dns
      listener.stream = { DNSStream(dns, $0) }
    case .icmp:
      let echo = ICMPEcho(book, limits: limits)
      icmp.append(echo)
      all.append(echo)
    case .memcached:
      listener.datagrams = MemcachedDatagrams(book, limits: limits)
      listener.stream = { MemcachedStream(book, $0) }
    case .redis: listener.stream = { RedisStream(book, $0) }
    case .http: listener.stream = { HTTPStream(book, $0) }
    case .sip: listen(SIPResponses(book, limits: limits))
    case .sipForward: listen(SIPForwarding(book, stations: stations, limits: limits))
    case .stamp: listener.datagrams = STAMP(book, limits: limits)
    case .udpEcho:
      let rule = PairingRule(name: kind.rawValue, transport: .udp, ports: ports)
      listener.datagrams = RuleDialogue(book, rule: rule, limits: limits)
    case .tcpHandshake:
      let handshake = TCPHandshake(book, ports: ports, limits: limits)
      watchers.append(handshake)
      all.append(handshake)
    case .tcpAcknowledgment:
      acknowledgments = TCPAcknowledgment(book, ports: ports, limits: limits, budget: budget)
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
    ledger.names = books.flatMap { book in book.names.map { ($0.name, book.name, $0.tally) } }
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
      guard
        !watchers.isEmpty || acknowledgments != nil
          || ports.contains(where: { tcp[$0] != nil || segments[$0] != nil })
      else { return false }
    }
    tally.askedFor += 1
    return true
  }

  private func dispatch(_ packet: Dissected) {
    switch packet.transport {
    case .icmp:
      for dialogue in icmp { dialogue.take(packet, isRequest: false) }
      if let refused = packet.refused { refuse(refused) }
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

  /// Who asked for a packet that could not be delivered is told so.
  private func refuse(_ quoted: Dissected) {
    switch quoted.transport {
    case .icmp: for dialogue in icmp { dialogue.refuse(quoted) }
    case .udp: for listener in udp[quoted.destination.port] ?? [] { listener.datagrams?.refuse(quoted) }
    case .tcp: for watcher in watchers { watcher.refuse(quoted) }
    }
  }

  // MARK: TCP

  private func take(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    let isToServer = tcp[packet.destination.port] != nil && !(header.isSYN && header.isACK)
    guard
      isToServer || tcp[packet.source.port] != nil
        || acknowledgments?.watches(packet.source, packet.destination) == true
    else { return }
    guard let (flow, key) = flow(of: packet) else {
      if !header.isRST { begin(packet, header) }
      return
    }
    flows.touch(key)
    switch flow.take(packet, header, losses: losses) {
    case .goesOn: break
    case .ended: _ = flows.remove(key)
    case .replaced(let packets):
      _ = flows.remove(key)
      for (packet, header) in packets { take(packet, header) }
    }
  }

  /// The one with the same tags, else one where either direction has none.
  private func flow(of packet: Dissected) -> (TCPFlow, TCPFlow.Key)? {
    var key = TCPFlow.Key(packet.source, packet.destination, packet.vlans)
    if let flow = flows[key] { return (flow, key) }
    guard !packet.vlans.isEmpty || tagged.count > 0 else { return nil }
    key.vlans = packet.vlans.isEmpty ? tagged[key] ?? VLANTags() : VLANTags()
    guard let flow = flows[key], flow.fits(packet) else { return nil }
    return (flow, key)
  }

  private func begin(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    let isToServer =
      tcp[packet.destination.port] != nil || tcp[packet.source.port] == nil ? !(header.isSYN && header.isACK) : false
    let (client, server) =
      isToServer ? (packet.source, packet.destination) : (packet.destination, packet.source)
    let ends = StreamEnds(client: client, server: server, vlans: packet.vlans)
    let connections = (tcp[server.port] ?? []).compactMap { listener in
      listener.stream.map {
        TCPConnection(
          ends, dialogue: $0(ends), book: listener.book, limits: limits, budget: budget, isStart: header.isSYN)
      }
    }
    let watcher = acknowledgments.flatMap { $0.watches(client, server) ? $0 : nil }
    guard !connections.isEmpty || watcher != nil else { return }
    let new = TCPFlow(ends, connections, watcher, limits, budget, losses: losses)
    var key = TCPFlow.Key(client, server, packet.vlans)
    if let evicted = flows.insert(new, for: key) {
      evicted.end(.evicted)
      tally.evictedConnections += 1
    }
    _ = new.take(packet, header, losses: losses)
    guard !packet.vlans.isEmpty else { return }
    key.vlans = VLANTags()
    _ = tagged.insert(packet.vlans, for: key)
  }

  /// Packets are missing here, and nobody knows of whom: a gap on all TCP connections. What waits for an answer over datagrams
  /// is told apart by its key and goes on waiting.
  ///
  /// - Complexity: O(1): each connection is told with its next packet.
  package func miss() { losses += 1 }

  /// The capture is over: whatever still waits has no answer.
  package func finish() {
    for flow in flows.removeAll() { flow.end(.over, losses: losses) }
    for dialogue in all { dialogue.finish() }
  }
}
