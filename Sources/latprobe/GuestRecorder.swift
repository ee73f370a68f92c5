// SPDX-License-Identifier: GPL-2.0-or-later
import Collecting
import Foundation
import Host
import Probing
import Recording
import Remote
import Synchronization
import Topology

/// Records for an agent, on a thread of its own: the agent's goes on answering the host.
final class GuestRecorder: AgentRecorder, Sendable {
  private struct State {
    var phase = AgentRecorderState.loading
    var isStarted = false
    var stopReason: String?
    var warnings: [String] = []
  }

  private let devices: [String]
  private let namespaces: [String]
  private let shared = Mutex(State())

  /// - Parameter devices: to watch where the host names none.
  init(devices: [String], namespaces: [String]) {
    self.devices = devices
    self.namespaces = namespaces
  }

  // MARK: - For the agent

  var state: AgentRecorderState { shared.withLock { $0.phase } }
  func start() { shared.withLock { $0.isStarted = true } }
  func stop(_ reason: String) { shared.withLock { $0.stopReason = $0.stopReason ?? reason } }

  func prepare(_ request: RecordRequest, directory: String, maxSize: Int) {
    let thread = Thread { [self] in
      do {
        try record(request, directory, maxSize)
      } catch {
        shared.withLock { $0.phase = .failed("\(error)") }
      }
    }
    thread.name = "recorder"
    thread.stackSize = 8 << 20
    thread.start()
  }

  // MARK: - The recorder's thread

  private func record(_ request: RecordRequest, _ directory: String, _ maxSize: Int) throws {
    var setup = try prepare(request)
    setup.machine.name = MachineName.make(
      role: setup.machine.role, hostname: setup.machine.hostname, taken: request.taken)
    let machine = setup.machine
    let session = Session(
      id: request.session, members: [machine.name], labels: [:], commandLine: CommandLine.arguments,
      createdAt: Date().timeIntervalSince1970)
    Privileges.keep(setup.needed)
    try session.write(to: directory)
    let attached = setup.attached
    var options = RecorderOptions()
    options.writer.maxSize = maxSize
    var recorder = try setup.recorder(session: session, directory: directory, options: options)
    shared.withLock { state in
      state.phase = .prepared(
        PreparedRecording(
          machine: machine.name, hostname: machine.hostname, bootID: machine.bootID, hooks: attached,
          warnings: state.warnings))
    }
    while true {
      let (isStarted, reason) = shared.withLock { ($0.isStarted, $0.stopReason) }
      if let reason { return shared.withLock { $0.phase = .ended(reason) } }
      if isStarted { break }
      usleep(500)
    }
    let result = try recorder.run(stopRequested: { [self] in shared.withLock { $0.stopReason } }) { progress in
      var told = RemoteProgress()
      told.stamps = Count(progress.stamps)
      told.lost = Count(progress.lost)
      told.size = Count(progress.size)
      shared.withLock { $0.phase = .recording(told) }
    }
    shared.withLock { $0.phase = .ended(result.stoppedBy ?? "?") }
  }

  private func prepare(_ request: RecordRequest) throws -> RecordingSetup {
    var choice = ProbeChoice()
    choice.topology = request.topology
    choice.side = .guest
    choice.devices = request.devices.isEmpty ? devices : request.devices
    choice.namespaces = namespaces
    choice.filter = request.filter.isEmpty ? nil : request.filter
    choice.oneIn = request.oneIn
    choice.sampleBy = request.sampleByFlow ? "flow" : "packet"
    choice.nat = request.isNATProof
    choice.bufferSize = request.bufferSize == 0 ? nil : Int(request.bufferSize)
    let topology = try choice.load()
    guard try GuestParty.digest(topology) == request.topologyDigest else {
      throw KernelError(
        "the guest's topology \(request.topology) (\(topology.file)) is not the host's: install the same one on both")
    }
    return try RecordingSetup(choice, topology) { [self] warning in
      Console.error("warning: \(warning)")
      shared.withLock { $0.warnings.append(warning) }
    }
  }
}
