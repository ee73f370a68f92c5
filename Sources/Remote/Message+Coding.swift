// SPDX-License-Identifier: GPL-2.0-or-later
internal import Recording

extension Message {
  /// Numbers on the wire. Never renumber.
  enum Kind: UInt8, CaseIterable {
    case prepare = 16
    case start = 17
    case ping = 18
    case stop = 19
    case pull = 20
    case acknowledge = 21
    case prepared = 32
    case started = 33
    case pong = 34
    case progress = 35
    case stopped = 36
    case file = 37
    case data = 38
    case sent = 39
    case deleted = 40
    case failed = 48
  }

  /// Bytes of the texts.
  enum Limit {
    static let name = 64
    static let line = 512
    static let path = 1024
    static let names = 64
  }

  var kind: Kind {
    switch self {
    case .prepare: .prepare
    case .start: .start
    case .ping: .ping
    case .stop: .stop
    case .pull: .pull
    case .acknowledge: .acknowledge
    case .prepared: .prepared
    case .started: .started
    case .pong: .pong
    case .progress: .progress
    case .stopped: .stopped
    case .file: .file
    case .data: .data
    case .sent: .sent
    case .deleted: .deleted
    case .failed: .failed
    }
  }

  package var payload: [UInt8] {
    var writer = WireWriter()
    switch self {
    case .start, .stop, .pull, .acknowledge, .started, .deleted: break
    case .prepare(let request): request.write(to: &writer)
    case .ping(let id): writer.put(id)
    case .prepared(let recording): recording.write(to: &writer)
    case .pong(let id, let received, let sent):
      writer.put(id)
      writer.put(received)
      writer.put(sent)
    case .progress(let progress):
      writer.put(progress.stamps.unsigned)
      writer.put(progress.lost.unsigned)
      writer.put(progress.size.unsigned)
    case .stopped(let reason, let directory):
      writer.put(reason, limit: Limit.line)
      writer.put(directory, limit: Limit.path)
    case .file(let file, let size):
      file.write(to: &writer)
      writer.put(size)
    case .data(let bytes): writer.put(raw: bytes)
    case .sent(let files, let bytes):
      writer.put(files)
      writer.put(bytes)
    case .failed(let reason): writer.put(reason, limit: Limit.line)
    }
    return writer.bytes
  }

  package init(type: UInt8, payload: [UInt8]) throws(RemoteError) {
    guard let kind = Kind(rawValue: type) else { throw .violation("a message of unknown type \(type)") }
    var reader = WireReader(payload)
    switch kind {
    case .prepare: self = .prepare(try RecordRequest(from: &reader))
    case .start: self = .start
    case .ping: self = .ping(id: try reader.number())
    case .stop: self = .stop
    case .pull: self = .pull
    case .acknowledge: self = .acknowledge
    case .prepared: self = .prepared(try PreparedRecording(from: &reader))
    case .started: self = .started
    case .pong: self = .pong(id: try reader.number(), received: try reader.number(), sent: try reader.number())
    case .progress:
      var progress = RemoteProgress()
      progress.stamps = try reader.count()
      progress.lost = try reader.count()
      progress.size = try reader.count()
      self = .progress(progress)
    case .stopped:
      self = .stopped(reason: try reader.text(limit: Limit.line), directory: try reader.text(limit: Limit.path))
    case .file: self = .file(try RecordingFile(from: &reader), size: try reader.number())
    case .data: self = .data(reader.all())
    case .sent: self = .sent(files: try reader.number(), bytes: try reader.number())
    case .deleted: self = .deleted
    case .failed: self = .failed(try reader.text(limit: Limit.line))
    }
    try reader.end()
  }
}

extension RecordRequest {
  fileprivate func write(to writer: inout WireWriter) {
    writer.put(session, limit: Message.Limit.name)
    writer.put(topology, limit: Message.Limit.name)
    writer.put(raw: topologyDigest)
    writer.put(devices, count: Message.Limit.names, limit: 15)
    writer.put(filter, limit: RecordRequest.filterLimit)
    writer.put(oneIn)
    writer.put(UInt8(sampleByFlow ? 1 : 0))
    writer.put(UInt8(isNATProof ? 1 : 0))
    writer.put(bufferSize)
    writer.put(maxSize)
    writer.put(taken, count: Message.Limit.names, limit: Message.Limit.name)
  }

  /// Checks what would become a part of a path or go to the kernel: names, sizes, ratios.
  fileprivate init(from reader: inout WireReader) throws(RemoteError) {
    let session = try reader.text(limit: Message.Limit.name)
    let topology = try reader.text(limit: Message.Limit.name)
    guard SessionID.isValid(session) else { throw .violation("'\(session)' is no session id") }
    // A name to look up, never a file: see TopologyLibrary.
    guard MachineName.isSafe(topology), !topology.hasSuffix(".yaml") else {
      throw .violation("'\(topology)' is no topology's name")
    }
    self.init(session: session, topology: topology, topologyDigest: Array(try reader.raw(32)))
    devices = try reader.texts(count: Message.Limit.names, each: 15)
    for name in devices where name.isEmpty || name.contains("/") || name.contains(where: \.isWhitespace) {
      throw .violation("'\(name)' is no device's name")
    }
    filter = try reader.text(limit: RecordRequest.filterLimit)
    oneIn = try reader.number()
    guard oneIn > 0 else { throw .violation("a sample of one in 0") }
    sampleByFlow = try reader.flag()
    isNATProof = try reader.flag()
    bufferSize = try reader.number()
    guard bufferSize == 0 || (4096...1 << 30).contains(bufferSize) && bufferSize & (bufferSize - 1) == 0 else {
      throw .violation("a ring buffer of \(bufferSize) bytes")
    }
    maxSize = try reader.number()
    taken = try reader.texts(count: Message.Limit.names, each: Message.Limit.name)
  }
}

extension PreparedRecording {
  fileprivate func write(to writer: inout WireWriter) {
    writer.put(machine, limit: Message.Limit.name)
    writer.put(hostname, limit: Message.Limit.name)
    writer.put(bootID, limit: Message.Limit.name)
    writer.put(hooks, count: Message.Limit.names, limit: Message.Limit.name)
    writer.put(warnings, count: Message.Limit.names, limit: Message.Limit.line)
  }

  fileprivate init(from reader: inout WireReader) throws(RemoteError) {
    machine = try reader.text(limit: Message.Limit.name)
    guard MachineName.isSafe(machine) else { throw .violation("'\(machine)' cannot be a machine's folder name") }
    hostname = try reader.text(limit: Message.Limit.name)
    bootID = try reader.text(limit: Message.Limit.name)
    hooks = try reader.texts(count: Message.Limit.names, each: Message.Limit.name)
    warnings = try reader.texts(count: Message.Limit.names, each: Message.Limit.line)
  }
}

extension RecordingFile {
  /// A kind and two numbers: no text of the other side ever becomes a path.
  fileprivate func write(to writer: inout WireWriter) {
    let (kind, cpu, sequence): (UInt8, UInt16, UInt32) =
      switch self {
      case .machine: (0, 0, 0)
      case .metadata: (1, 0, 0)
      case .stream(let cpu, let sequence): (2, cpu, sequence)
      }
    writer.put(kind)
    writer.put(cpu)
    writer.put(sequence)
  }

  fileprivate init(from reader: inout WireReader) throws(RemoteError) {
    let kind: UInt8 = try reader.number()
    let cpu: UInt16 = try reader.number()
    let sequence: UInt32 = try reader.number()
    switch (kind, cpu, sequence) {
    case (0, 0, 0): self = .machine
    case (1, 0, 0): self = .metadata
    case (2, _, _): self = .stream(cpu: cpu, sequence: sequence)
    default: throw .violation("file \(kind) \(cpu) \(sequence), which no recording has")
    }
  }
}
