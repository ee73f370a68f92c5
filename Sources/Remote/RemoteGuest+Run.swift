// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
internal import Recording
internal import Synchronization

extension RemoteGuest {
  private static let interval: Int64 = 50_000_000
  private static let burst = 20
  /// An answer that takes longer is given up; the guest was not running.
  private static let answerTime: Int64 = 1_000_000_000
  /// For the exchanges at the end: the host's recording waits for them.
  private static let lastBurst: Int64 = 500_000_000
  /// Bytes a second of its recording that a guest must send, lest it is waited for without end.
  static let leastRate = 1 << 20
  /// Bytes that a file counts for at least: the host waits for its disk with each.
  private static let leastFile = 16 << 10
  /// For the guest's word that it has deleted its copy, which changes nothing.
  private static let farewell: Int64 = 2_000_000_000
  /// How often a wait looks whether the user has cancelled it.
  private static let slice: Int64 = 100_000_000

  /// From the first exchange to the guest's recording in `directory`; the thread's whole work.
  ///
  /// - Parameter limit: bytes of the guest's streams that are taken.
  package func run(into directory: String, limit: Int) {
    connection.withLock { connection in
      do throws(RemoteError) {
        // One for both: an answer to a question that was given up may come after STOP.
        var exchanger = Exchanger(peer: peer.number)
        try record(&connection, &exchanger)
        try finish(&connection, &exchanger)
        let machine = try pull(&connection, into: directory, limit: limit)
        enter(.done(machine))
      } catch {
        connection.deadline = nil
        connection.fail(error.description)
        enter(.failed(error))
      }
    }
  }

  private func enter(_ phase: GuestPhase) { state.withLock { $0.phase = phase } }

  // MARK: - While both record

  private func record(_ connection: inout Connection, _ exchanger: inout Exchanger) throws(RemoteError) {
    // Not asked since it was prepared, which is long ago where other guests took their time.
    let begin = Connection.now
    // Who gives guests more at the end has slow ones, as under emulation.
    let end = begin + max(connection.patience.step, connection.patience.grace)
    connection.deadline = end
    try exchange(&connection, &exchanger, count: RemoteGuest.burst, since: begin)
    try connection.send(.start)
    var isStarted = false
    while !isStarted {
      guard Connection.now < end else { throw RemoteError(.timeout, "\(connection.peer) does not start to record") }
      guard let message = try connection.receive(within: try slice()) else { continue }
      if case .started = message { isStarted = true } else { try take(message, &connection, &exchanger) }
    }
    connection.deadline = nil
    state.withLock { ($0.phase, $0.hasStarted) = (.recording, true) }
    var next = Connection.now
    while stopAt == nil {
      try exchange(&connection, &exchanger, count: 1, since: begin)
      next = max(next + RemoteGuest.interval, Connection.now)
      while case let rest = next - Connection.now, rest > 0 {
        _ = try slice()
        if let message = try connection.receive(within: rest) { try take(message, &connection, &exchanger) }
      }
    }
    try exchange(&connection, &exchanger, count: RemoteGuest.burst, since: begin)
  }

  private var stopAt: Int64? { state.withLock { $0.stopAt } }

  /// No exchange is begun after it, and no answer awaited.
  private func latest(_ connection: borrowing Connection) -> Int64 {
    min(connection.deadline ?? .max, stopAt.map { $0 + RemoteGuest.lastBurst } ?? .max)
  }

  /// - Parameter begin: when the guest was asked for the first time.
  private func exchange(
    _ connection: inout Connection, _ exchanger: inout Exchanger, count: Int, since begin: Int64
  ) throws(RemoteError) {
    for _ in 0..<count where Connection.now < latest(connection) {
      let message = Message.ping(id: exchanger.next())
      let sent = try connection.send(
        type: message.kind.rawValue, message.payload, within: RemoteGuest.answerTime)
      exchanger.sent(at: sent)
      let end = Connection.now + RemoteGuest.answerTime
      while exchanger.isWaiting {
        let rest = min(end, latest(connection)) - Connection.now
        guard rest > 0 else {
          exchanger.giveUp()
          state.withLock { $0.lost += 1 }
          break
        }
        if let message = try connection.receive(within: min(rest, try slice())) {
          try take(message, &connection, &exchanger)
        }
      }
      let silence = connection.patience.silence
      guard Connection.now - max(begin, connection.receivedAt) < silence else {
        throw RemoteError(.timeout, "\(connection.peer) has been silent for \(silence / 1_000_000_000) s")
      }
    }
  }

  private func take(
    _ message: Message, _ connection: inout Connection, _ exchanger: inout Exchanger
  ) throws(RemoteError) {
    switch message {
    case .pong(let id, let received, let sent):
      let time = Instant<Monotonic>.now.nanoseconds
      let result = try exchanger.answer(
        id: id, peerReceived: received, peerSent: sent, at: connection.receivedAt, monotonic: time)
      state.withLock { state in
        switch result {
        case .exchange(let exchange): state.exchanges.append(exchange)
        case .wrong: state.wrong += 1
        case .late: break
        }
      }
    case .progress(let progress): state.withLock { $0.progress = progress }
    case .stopped(let reason, let directory): state.withLock { $0.stopped = (reason, directory) }
    case .failed(let reason): throw RemoteError(.refused, "\(connection.peer): \(reason)")
    default: throw .violation("\(connection.peer) says what does not belong here (\(message.kind))")
    }
  }

  // MARK: - Afterwards

  private func finish(_ connection: inout Connection, _ exchanger: inout Exchanger) throws(RemoteError) {
    enter(.stopping)
    let end = graceEnd(connection)
    connection.deadline = end
    if stopped == nil { try connection.send(.stop) }
    while stopped == nil {
      guard Connection.now < end else {
        throw RemoteError(
          .timeout,
          "\(connection.peer) has not ended its recording within \(RemoteGuest.seconds(connection.patience.grace))"
            + " of the host's end (--guest-grace)")
      }
      if let message = try connection.receive(within: try slice()) { try take(message, &connection, &exchanger) }
    }
  }

  /// The end of all waiting, but for the time that files take.
  private func graceEnd(_ connection: borrowing Connection) -> Int64 {
    (stopAt ?? Connection.now) + connection.patience.grace
  }

  private static func seconds(_ nanoseconds: Int64) -> String {
    "\(nanoseconds / 1_000_000_000).\(nanoseconds / 100_000_000 % 10) s"
  }

  private func pull(
    _ connection: inout Connection, into directory: String, limit: Int
  ) throws(RemoteError) -> Machine {
    enter(.pulling(0))
    try connection.send(.pull)
    do {
      let incoming = try RecordingImport(
        directory: directory, machine: prepared.machine, session: request.session, bootID: prepared.bootID, limit: limit
      )
      try take(&connection, incoming)
      let machine = try incoming.finish()
      acknowledge(&connection)
      return machine
    } catch let error as RecordingError {
      throw RemoteError(.invalid, "\(connection.peer): \(error)")
    } catch let error as RemoteError {
      throw error
    } catch {
      throw RemoteError(.invalid, "\(connection.peer): \(error)")
    }
  }

  /// The recording is safe here, whatever becomes of the guest's copy and whatever the guest still says.
  private func acknowledge(_ connection: inout Connection) {
    let end = Connection.now + min(connection.patience.step, RemoteGuest.farewell)
    connection.deadline = end
    do throws(RemoteError) {
      try connection.send(.acknowledge)
      while Connection.now < end, try connection.receive(within: try slice()) != .deleted {}
    } catch {}
  }

  /// All that the agent sends until it says that this was all.
  private func take(_ connection: inout Connection, _ incoming: RecordingImport) throws {
    var files: UInt32 = 0
    let grace = connection.patience.grace
    let end = graceEnd(connection)
    var last = Connection.now
    while true {
      let size = incoming.size + Int(files) * RemoteGuest.leastFile
      let latest = min(end + Int64(size * 1000 / RemoteGuest.leastRate) * 1_000_000, last + grace)
      connection.deadline = latest
      guard Connection.now < latest else {
        throw RemoteError(
          .timeout, "\(connection.peer) sends its recording too slowly, or not any more (--guest-grace)")
      }
      guard let message = try connection.receive(within: try slice()) else { continue }
      switch message {
      case .file(let file, let size):
        try incoming.begin(file, size: size)
        files += 1
        last = Connection.now
      case .data(let bytes):
        try incoming.append(bytes)
        if !bytes.isEmpty { last = Connection.now }
        enter(.pulling(incoming.size))
      case .sent(let count, let bytes):
        guard count == files, bytes == UInt64(incoming.size) else {
          throw RemoteError(.protocolViolation, "\(connection.peer) miscounts what it sent")
        }
        return
      // On their way when the recording ended.
      case .pong, .progress, .stopped: break
      case .failed(let reason): throw RemoteError(.refused, "\(connection.peer): \(reason)")
      default: throw RemoteError.violation("\(connection.peer) says what does not belong here (\(message.kind))")
      }
    }
  }

  /// Nanoseconds that a wait may last before this is asked again.
  private func slice() throws(RemoteError) -> Int64 {
    if state.withLock({ $0.isCancelled }) { throw RemoteError(.cancelled, "\(endpoint): not waited for any longer") }
    return RemoteGuest.slice
  }
}
