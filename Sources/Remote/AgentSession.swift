// SPDX-License-Identifier: GPL-2.0-or-later
internal import Glibc
internal import Recording

/// What records for an agent; the rest of the program puts the real one in place.
///
/// Calls come from the agent's thread; none may wait.
package protocol AgentRecorder: AnyObject {
  /// Begins to load and attach what is asked for, to be recorded below `directory`; nothing is stamped yet.
  func prepare(_ request: RecordRequest, directory: String, maxSize: Int)
  func start()
  func stop(_ reason: String)
  var state: AgentRecorderState { get }
}

package enum AgentRecorderState: Sendable {
  case loading
  /// Ready to start.
  case prepared(PreparedRecording)
  case recording(RemoteProgress)
  /// Everything is on disk; why it ended.
  case ended(String)
  case failed(String)
}

/// Bounds of an agent, from its command line.
package struct AgentOptions: Sendable {
  /// A recording lies in a folder of its own below this until it was pulled.
  package var stateDirectory = "/var/tmp"
  /// Bytes of a recording on disk: the oldest streams go first.
  package var maxSize = 1 << 30
  /// Recordings of that size that may lie there before no other is begun.
  static let maxKept = 4
  /// Bytes of each CPU's ring buffer that a host may ask for.
  package var maxBuffer = AgentOptions.bufferBound(
    memory: sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)), cpus: sysconf(Int32(_SC_NPROCESSORS_CONF)))
  /// Nanoseconds that recording goes on without a host.
  package var grace: Int64 = 10_000_000_000
  /// Program version, for the other side.
  package var release = ""
  package var key: SharedKey?

  package init() {}

  /// A power of two: the buffers of all CPUs take an eighth of the memory, but never less than 1 MiB each.
  static func bufferBound(memory: Int, cpus: Int) -> Int {
    var size = 1 << 30
    while size > 1 << 20, size * cpus > memory / 8 { size >>= 1 }
    return size
  }
}

/// One conversation with a host: at most one recording, which is kept unless the host says that it has it.
package struct AgentSession {
  private static let slice: Int64 = 50_000_000
  private static let progressInterval: Int64 = 1_000_000_000
  /// A host loads its own programs, and those of other guests, between preparing and starting.
  private static let hostPatience: Int64 = 300_000_000_000
  private static let endTime: Int64 = 60_000_000_000

  private let options: AgentOptions
  private let recorder: any AgentRecorder
  /// Asked between messages: signals that came. The first ends the recording, the second the wait for the host.
  private let signals: () -> Int
  /// Called between messages.
  private let idle: () -> Void
  private let say: (String) -> Void

  package init(
    options: AgentOptions, recorder: any AgentRecorder, signals: @escaping () -> Int,
    idle: @escaping () -> Void, say: @escaping (String) -> Void
  ) {
    self.options = options
    self.recorder = recorder
    self.signals = signals
    self.idle = idle
    self.say = say
  }

  /// Serves one host to its end.
  package func serve(_ guest: consuming Door.Guest) {
    let request = guest.request
    do {
      try record(request, &guest.connection)
    } catch {
      guest.connection.fail("\(error)")
      say("\(error)")
    }
  }

  // MARK: - One recording

  private func record(_ request: RecordRequest, _ connection: inout Connection) throws {
    try checkRoom()
    let folder = try StateFolder(below: options.stateDirectory)
    let bound = request.maxSize == 0 ? options.maxSize : min(options.maxSize, Int(clamping: request.maxSize))
    var request = request
    var warning: String?
    if request.bufferSize > options.maxBuffer {
      warning =
        "a ring buffer has \(options.maxBuffer >> 10) KiB instead of the \(request.bufferSize >> 10) asked for: all "
        + "together must fit into an eighth of the guest's memory"
      request.bufferSize = UInt32(options.maxBuffer)
    }
    var prepared: PreparedRecording
    do {
      recorder.prepare(request, directory: folder.path, maxSize: bound)
      prepared = try loaded()
      if let warning { prepared.warnings.insert(warning, at: 0) }
      say("prepared \(prepared.hooks.joined(separator: " ")) for \(connection.peer)")
      try connection.send(.prepared(prepared))
      guard case .start = try next(&connection, within: AgentSession.hostPatience) else {
        throw RemoteError.violation("\(connection.peer) does not start what it prepared")
      }
    } catch {
      recorder.stop("not started")
      // The verifier is not waited for: after a signal the agent's process ends, and that ends it.
      if case .loading = recorder.state, signals() > 0 {} else { _ = ended() }
      // Nothing is in it yet.
      folder.remove()
      throw error
    }
    recorder.start()
    do {
      try connection.send(.started)
      let directory = "\(folder.path)/\(prepared.machine)"
      try follow(&connection, directory)
      try hand(over: directory, of: folder, &connection)
    } catch {
      if (error as? RemoteError)?.kind == .connection { waitOut() }
      recorder.stop("the host was lost")
      say("the recording is kept in \(folder.path) (\(ended())): copy it to the host by hand")
      throw error
    }
  }

  /// What the recorder has prepared; other hosts and signals are heard meanwhile.
  private func loaded() throws(RemoteError) -> PreparedRecording {
    while true {
      switch recorder.state {
      case .prepared(let prepared): return prepared
      case .failed(let reason), .ended(let reason): throw RemoteError(.refused, reason)
      case .loading, .recording: break
      }
      if signals() > 0 { throw AgentSession.wasSignalled }
      idle()
      pause()
    }
  }

  /// Hosts that get lost again and again must not fill the disk.
  private func checkRoom() throws(RemoteError) {
    let (count, size) = StateFolder.kept(below: options.stateDirectory)
    guard size / AgentOptions.maxKept >= options.maxSize else { return }
    throw RemoteError(
      .refused,
      "the agent keeps \(count) recordings that no host has taken (\(size >> 20) MiB): copy or delete "
        + "\(options.stateDirectory)/latprobe-* in the guest, or raise the agent's --max-size")
  }

  /// Answers the host until it asks for the recording's end and its files.
  private func follow(_ connection: inout Connection, _ directory: String) throws {
    var nextProgress = Connection.now
    var isTold = false
    var patience = options.grace
    while true {
      if let message = try hear(&connection, within: patience) {
        switch message {
        case .stop:
          recorder.stop("the host")
          // It asks for no more times, only waits, and no longer than this.
          patience = AgentSession.endTime
        case .pull where isTold: return
        case .failed(let reason): throw RemoteError(.refused, "\(connection.peer): \(reason)")
        default: throw RemoteError.violation("\(connection.peer) asks for what does not belong here")
        }
      }
      if signals() > 0 { recorder.stop("a signal to the agent") }
      if signals() > 1 { throw AgentSession.wasSignalled }
      switch recorder.state {
      case .failed(let reason): throw RemoteError(.refused, reason)
      case .ended(let reason) where !isTold:
        try connection.send(.stopped(reason: reason, directory: directory))
        isTold = true
      case .recording(let progress) where Connection.now >= nextProgress:
        nextProgress = Connection.now + AgentSession.progressInterval
        try connection.send(.progress(progress))
      default: break
      }
      idle()
    }
  }

  /// The next message but questions about time, which are answered; nil after a while.
  ///
  /// - Parameter patience: how long the host may be silent.
  private func hear(_ connection: inout Connection, within patience: Int64) throws(RemoteError) -> Message? {
    let message = try answer(&connection, within: AgentSession.slice)
    guard message != nil || Connection.now - connection.receivedAt < patience else {
      throw RemoteError(.timeout, "\(connection.peer) has been silent for \(patience / 1_000_000_000) s")
    }
    return message
  }

  /// A host that is gone may go on recording: so does its guest for a while.
  private func waitOut() {
    guard case .recording = recorder.state else { return }
    say("the host is lost; recording goes on for \(options.grace / 1_000_000_000) s")
    let end = Connection.now + options.grace
    while Connection.now < end, signals() == 0, case .recording = recorder.state {
      idle()
      pause()
    }
  }

  /// Sends the files and deletes them once the host has them.
  private func hand(over directory: String, of folder: StateFolder, _ connection: inout Connection) throws {
    let export = try RecordingExport(directory: directory)
    var bytes: UInt64 = 0
    for entry in export.entries {
      try connection.send(.file(entry.file, size: UInt64(entry.size)), within: connection.patience.files)
      try export.read(entry, piece: Frame.payloadLimit) { (piece) throws(RemoteError) in
        try connection.send(.data(piece), within: connection.patience.files)
        if signals() > 1 { throw AgentSession.wasSignalled }
        idle()
      }
      bytes += UInt64(entry.size)
    }
    let sent = Message.sent(files: UInt32(export.entries.count), bytes: bytes)
    try connection.send(sent, within: connection.patience.files)
    guard case .acknowledge = try next(&connection, within: AgentSession.endTime, despite: 1) else {
      throw RemoteError.violation("\(connection.peer) does not say that it has the recording")
    }
    folder.remove()
    say("\(connection.peer) has the recording (\(bytes) bytes)")
    try? connection.send(.deleted)
  }

  // MARK: - Waiting

  private static let wasSignalled = RemoteError(.cancelled, "the agent was ended by a signal")

  /// The next message but questions about time, which are answered.
  private func next(
    _ connection: inout Connection, within time: Int64, despite ignored: Int = 0
  ) throws(RemoteError) -> Message {
    let end = Connection.now + time
    while Connection.now < end {
      if signals() > ignored { throw AgentSession.wasSignalled }
      if let message = try answer(&connection, within: AgentSession.slice) {
        if case .failed(let reason) = message { throw RemoteError(.refused, "\(connection.peer): \(reason)") }
        return message
      }
      idle()
    }
    throw RemoteError(.timeout, "\(connection.peer) has not said anything for \(time / 1_000_000_000) s")
  }

  private func answer(_ connection: inout Connection, within time: Int64) throws(RemoteError) -> Message? {
    guard let message = try connection.receive(within: time) else { return nil }
    guard case .ping(let id) = message else { return message }
    try connection.send(.pong(id: id, received: connection.receivedAt, sent: Connection.now))
    return nil
  }

  /// Waits for the recorder's end, so that there is never more than one; why it ended.
  private func ended() -> String {
    while signals() < 2 {
      switch recorder.state {
      case .ended(let reason), .failed(let reason): return reason
      default: pause()
      }
    }
    return "it was not waited for"
  }

  private func pause() { usleep(10_000) }
}
