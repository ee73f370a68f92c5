// SPDX-License-Identifier: GPL-2.0-or-later

/// One TCP connection, with whatever looks at it.
final class TCPFlow {
  struct Key: Hashable {
    var low: Endpoint
    var high: Endpoint
    /// Of the packet that began it.
    var vlans: VLANTags

    init(_ a: Endpoint, _ b: Endpoint, _ vlans: VLANTags) {
      (low, high) = a < b ? (a, b) : (b, a)
      self.vlans = vlans
    }
  }
  enum Outcome {
    case goesOn
    case ended
    /// These packets are of another connection.
    case replaced([(Dissected, Dissected.TCPHeader)])
  }
  let ends: StreamEnds
  private let connections: [TCPConnection]
  private let acknowledgments: TCPAcknowledgment?
  private let budget: BufferBudget
  private let limits: PairingLimits
  private var tracker = TCPTracker()
  private var clientOutstanding = TCPOutstanding()
  private var serverOutstanding = TCPOutstanding()
  private var vlans: (client: VLANTags?, server: VLANTags?)
  /// Packets that another connection may have begun with.
  private var doubtful: [(packet: Dissected, header: Dissected.TCPHeader)] = []
  private var doubtfulBytes = 0
  /// How often the capture had told of losses when the last packet came.
  private var losses: Int

  private static let mostDoubtful = 4

  init(
    _ ends: StreamEnds, _ connections: [TCPConnection], _ acknowledgments: TCPAcknowledgment?,
    _ limits: PairingLimits, _ budget: BufferBudget, losses: Int
  ) {
    self.ends = ends
    self.connections = connections
    self.acknowledgments = acknowledgments
    self.limits = limits
    self.budget = budget
    self.losses = losses
  }

  deinit { budget.used -= doubtfulBytes }

  private func isFromClient(_ packet: Dissected) -> Bool { packet.source == ends.client }

  /// Whether a packet with other tags than the first one's may be of this connection.
  func fits(_ packet: Dissected) -> Bool {
    let known = isFromClient(packet) ? vlans.client : vlans.server
    return known == nil || known == packet.vlans
  }

  /// - Parameter losses: how often the capture has told of losses up to this packet.
  func take(_ packet: Dissected, _ header: Dissected.TCPHeader, losses: Int) -> Outcome {
    notice(losses)
    let isFromClient = isFromClient(packet)
    if isFromClient { vlans.client = packet.vlans } else { vlans.server = packet.vlans }
    if let index = doubtful.firstIndex(where: {
      TCPTracker.confirms(
        header, isSameWay: $0.packet.source == packet.source, $0.header, length: $0.packet.payloadLength)
    }) {
      let others = doubtful[index...].map { ($0.packet, $0.header) }
      doubtful.removeSubrange(index...)
      end(others[0].1.isSYN ? .over : .missed)
      return .replaced(others + [(packet, header)])
    }
    switch tracker.judge(header, isFirst: isFromClient, length: packet.payloadLength) {
    case .accepted: handOn(packet, header)
    case .doubtful: hold(packet, header)
    case .ignored: for connection in connections { connection.passOver(packet) }
    case .begins:
      end(header.isSYN && !header.isACK ? .over : .missed)
      return .replaced([(packet, header)])
    case .doubtfulReset:
      for connection in connections {
        connection.doubtReset(by: isFromClient ? .client : .server, at: header.sequence)
      }
    case .reset:
      handOn(packet, header)
      end(.reset(by: isFromClient ? .client : .server))
      return .ended
    }
    return .goesOn
  }

  private func handOn(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    for connection in connections { connection.take(packet, header) }
    guard let acknowledgments else { return }
    if isFromClient(packet) {
      acknowledgments.take(packet, header, sent: &clientOutstanding, acknowledged: &serverOutstanding)
    } else {
      acknowledgments.take(packet, header, sent: &serverOutstanding, acknowledged: &clientOutstanding)
    }
  }

  private func hold(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    var packet = packet
    packet.payload = ByteView(packet.payload.bytes)
    guard budget.used + packet.payload.count <= limits.buffered else { return drop(packet) }
    if doubtful.count == TCPFlow.mostDoubtful {
      let oldest = doubtful.removeFirst()
      doubtfulBytes -= oldest.packet.payload.count
      budget.used -= oldest.packet.payload.count
      drop(oldest.packet)
    }
    doubtful.append((packet, header))
    doubtfulBytes += packet.payload.count
    budget.used += packet.payload.count
  }

  private func drop(_ packet: Dissected) { for connection in connections { connection.passOver(packet) } }

  /// Packets were missed that may have been of this connection.
  private func notice(_ losses: Int) {
    guard losses != self.losses else { return }
    self.losses = losses
    for connection in connections { connection.miss() }
  }

  /// - Parameter losses: as of the end of the capture.
  func end(_ ending: TCPConnection.Ending, losses: Int? = nil) {
    notice(losses ?? self.losses)
    for (packet, _) in doubtful { drop(packet) }
    doubtful = []
    for connection in connections { connection.end(ending) }
    guard let acknowledgments else { return }
    func fate(_ isClient: Bool) -> Fate {
      switch ending {
      case .over: .unanswered
      case .missed: .abandoned
      case .evicted: .evicted
      // Whoever resets refuses what was sent to it.
      case .reset(let side): (side == .server) == isClient ? .refused : .unanswered
      }
    }
    acknowledgments.end(&clientOutstanding, as: fate(true))
    acknowledgments.end(&serverOutstanding, as: fate(false))
  }
}
