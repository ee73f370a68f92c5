// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording
internal import Synchronization

/// How a guest's recording stands, as the host sees it.
package enum GuestPhase: Sendable, Equatable {
  /// Programs are loaded, nothing is stamped.
  case prepared
  case recording
  /// It has been told to stop.
  case stopping
  /// Bytes that have come so far.
  case pulling(Int)
  /// The recording is in the session's directory, and the guest was told that it may delete its own.
  case done(Machine)
  case failed(RemoteError)

  package var isEnd: Bool {
    switch self {
    case .done, .failed: true
    default: false
    }
  }
}

/// The host's end of one guest: keeps clock exchanges going while both record, then pulls the guest's recording.
///
/// Once ``run(into:limit:)`` is called on a thread of its own, that thread alone uses the connection; the rest of the
/// program looks at ``phase`` and takes ``exchanges()``. No call of the rest ever waits for the guest.
package final class RemoteGuest: Sendable {
  package let endpoint: Endpoint
  package let peer: Peer
  package let prepared: PreparedRecording
  /// The agent's latprobe.
  package let release: String
  let request: RecordRequest
  let connection: Mutex<Connection>
  let state = Mutex(State())

  struct State {
    var phase = GuestPhase.prepared
    /// It has recorded, whatever came of it.
    var hasStarted = false
    var progress = RemoteProgress()
    var exchanges: [ClockExchange] = []
    /// Where the guest has its recording, and why that ended; nil while it runs.
    var stopped: (reason: String, directory: String)?
    /// When it was to end, CLOCK_MONOTONIC_RAW; nil until then.
    var stopAt: Int64?
    var isCancelled = false
    /// Exchanges that never came back, and those whose times make no sense.
    var lost = 0
    var wrong = 0
  }

  /// Connects to an agent and has it load its programs; may take as long as the guest's verifier does.
  ///
  /// - Parameter number: of the peer in machine.json.
  package init(
    _ endpoint: Endpoint, number: UInt32, key: SharedKey?, release: String, request: RecordRequest,
    patience: Patience = Patience()
  ) throws(RemoteError) {
    if endpoint.needsKey && key == nil {
      throw RemoteError(.invalid, "\(endpoint): TCP needs --key-file, the same key as the agent's")
    }
    var connection = try endpoint.connect()
    connection.patience = patience
    try connection.greet(key: key, release: release)
    try connection.send(.prepare(request))
    guard case .prepared(let prepared) = try connection.expect(within: patience.preparation) else {
      throw .violation("\(endpoint) answers what was not asked")
    }
    guard !request.taken.contains(prepared.machine) else {
      throw .violation("\(endpoint) calls itself \(prepared.machine), which is taken")
    }
    guard MachineName.isSafe(prepared.machine, role: "guest") else {
      throw .violation("\(endpoint) calls itself \(prepared.machine), which is no guest's name")
    }
    self.endpoint = endpoint
    self.prepared = prepared
    self.request = request
    self.release = connection.peerVersion
    peer = Peer(number: number, machine: prepared.machine, bootID: prepared.bootID, url: endpoint.description)
    self.connection = Mutex(connection)
  }

  // MARK: - For the rest of the program

  package var phase: GuestPhase { state.withLock { $0.phase } }
  package var hasStarted: Bool { state.withLock { $0.hasStarted } }
  package var progress: RemoteProgress { state.withLock { $0.progress } }
  package var stopped: (reason: String, directory: String)? { state.withLock { $0.stopped } }
  package var unusableExchanges: (lost: Int, wrong: Int) { state.withLock { ($0.lost, $0.wrong) } }

  /// Exchanges that were made since the last call.
  package func exchanges() -> [ClockExchange] {
    state.withLock { state in
      defer { state.exchanges = [] }
      return state.exchanges
    }
  }

  /// Asks for a last burst of exchanges, the end of the guest's recording, and its files; its grace begins.
  package func stop() { state.withLock { $0.stopAt = $0.stopAt ?? Connection.now } }

  /// Does not wait any longer; the guest keeps its recording.
  package func cancel() { state.withLock { $0.isCancelled = true } }
}

extension Connection {
  /// The next message, which must come; what the agent says of a failure is thrown.
  mutating func expect(within timeout: Int64) throws(RemoteError) -> Message {
    guard let message = try receive(within: timeout) else {
      throw RemoteError(.timeout, "\(peer) has not answered for \(timeout / 1_000_000_000) s")
    }
    if case .failed(let reason) = message { throw RemoteError(.refused, "\(peer): \(reason)") }
    return message
  }
}
