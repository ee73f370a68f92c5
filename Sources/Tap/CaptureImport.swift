// SPDX-License-Identifier: GPL-2.0-or-later
internal import Pairing
package import Recording
internal import Stamping

/// A file to read, and the hook point of its packets.
package struct CaptureInput: Sendable, Equatable {
  package var path: String
  /// Nil for by interface: the first is `wire-in`, the second `wire-out`.
  package var hook: HookPoint?

  package init(path: String, hook: HookPoint? = nil) {
    self.path = path
    self.hook = hook
  }

  /// Whether an argument names standard input, with or without its hook point.
  package static func isStandardInput(_ argument: String) -> Bool {
    argument == "-" || argument == "wire-in=-" || argument == "wire-out=-"
  }

  /// The inputs of `FILE`, `wire-in=FILE` and `wire-out=FILE`: one without a name goes by interface, of two the first is
  /// `wire-in` and the second `wire-out`, and of more each must be named. Nil where that is not so.
  package static func parse(_ arguments: [String]) -> [CaptureInput]? {
    let inputs = arguments.map { argument in
      for hook in [HookPoint.wireIn, .wireOut] where argument.hasPrefix("\(hook.name)=") {
        return CaptureInput(path: String(argument.dropFirst(hook.name.count + 1)), hook: hook)
      }
      return CaptureInput(path: argument)
    }
    switch inputs.count(where: { $0.hook == nil }) {
    case 0: return inputs.isEmpty ? nil : inputs
    case 1 where inputs.count == 1: return inputs
    case 2 where inputs.count == 2:
      return zip(inputs, [HookPoint.wireIn, .wireOut]).map { CaptureInput(path: $0.path, hook: $1) }
    default: return nil
    }
  }
}

/// Reads capture files and writes their packets as stamps of one machine, `wire-HOST`.
package struct CaptureImport {
  /// One line each: files that could not be read to their end; the packets before are in the recording.
  package private(set) var failures: [CaptureError] = []

  private let files: [(reader: CaptureReader, hook: HookPoint?)]
  private var machine: Machine
  private var captures: [Capture] = []
  private var points: [Point]

  /// What became of the packets of one hook point. Each has streams of its own, as if it were a CPU: in a file times ascend.
  private struct Point {
    let hook: HookPoint
    var row: LedgerRow
    var isUsed = false
    var stamper: PacketStamper
    var first = UInt64.max
    var last = UInt64.min
    var files: [String] = []
    var interfaces: [String] = []
    /// Records that are not yet with the writer.
    var records: [UInt8] = []

    init(_ hook: HookPoint, cpu: Int, isNATProof: Bool) {
      self.hook = hook
      stamper = PacketStamper(isNATProof: isNATProof)
      row = LedgerRow(hook: hook.name, cpu: cpu)
    }

    /// Why a packet has no stamp; nil if it has.
    mutating func take(_ packet: CapturedPacket) -> LeftOut? {
      row.seen += 1
      let why = UInt64(exactly: packet.time).map { stamper.append(packet, hook: hook, time: $0, to: &records) }
      if let why = why ?? .time {
        row.filtered += 1
        return why
      }
      row.emitted += 1
      first = min(first, UInt64(packet.time))
      last = max(last, UInt64(packet.time))
      return nil
    }
  }

  /// Opens all files, so that a wrong one leaves nothing behind.
  ///
  /// - Parameter isNATProof: packet keys without addresses and ports.
  package init(
    _ inputs: [CaptureInput], hostname: String, session: String, isNATProof: Bool = false,
    expansion: Expansion = .usual
  ) throws(CaptureError) {
    points = [HookPoint.wireIn, .wireOut].enumerated().map { Point($1, cpu: $0, isNATProof: isNATProof) }
    var files: [(reader: CaptureReader, hook: HookPoint?)] = []
    for input in inputs { files.append((try CaptureReader(path: input.path, expansion: expansion), input.hook)) }
    self.files = files
    // No machine's boot: nobody else has this clock, so that nothing is joined to it without an alignment.
    machine = Machine(
      name: MachineName.make(role: "wire", hostname: hostname), role: "wire", hostname: hostname,
      bootID: "capture-\(session)", topology: "wire")
    machine.clockSource = "capture"
    if isNATProof { machine.identity = Machine.natProof }
  }

  /// The machine's folder in the recording.
  package var machineName: String { machine.name }

  /// Writes the recording below `directory`, which holds `session.json`; returns what `machine.json` says.
  /// - Parameter stopRequested: asked for each packet, and while a pipe is silent; why to stop before the files end.
  package mutating func run(
    session: Session, directory: String, stopRequested: @escaping () -> String? = { nil }
  ) throws(RecordingError) -> Machine {
    // Times count from 1970, so CTF readers need no offset to show them.
    let writer = try MachineWriter(directory: directory, machine: machine, session: session, utcOffset: 0)
    for file in files { file.reader.stop { stopRequested() != nil } }
    do throws(RecordingError) {
      for file in files { try read(file.reader, fixed: file.hook, writer, stopRequested) }
    } catch {
      describe(stoppedBy: Machine.end(by: error))
      try? writer.close(machine)
      throw error
    }
    describe(stoppedBy: failures.isEmpty ? stopRequested() ?? "end of file" : "error")
    for point in points { writer.discarded(cpu: point.row.cpu, total: point.row.lost) }
    try writer.close(machine)
    return machine
  }

  private mutating func read(
    _ reader: CaptureReader, fixed: HookPoint?, _ writer: MachineWriter, _ stopRequested: () -> String?
  ) throws(RecordingError) {
    var stamps: [UInt64] = []
    var leftOut: [LeftOut: UInt64] = [:]
    var failure: CaptureError?
    while stopRequested() == nil {
      let next: CapturedPacket?
      do throws(CaptureError) { next = try reader.next() } catch {
        failure = error
        break
      }
      guard let packet = next else { break }
      guard let point = place(of: packet.interface, fixed) else {
        failure = CaptureError(
          path: reader.path,
          "has packets of a third interface (number \(packet.interface)): give one file for each side of the wire, "
            + "wire-in=FILE wire-out=FILE")
        break
      }
      while stamps.count <= packet.interface { stamps.append(0) }
      if let why = points[point].take(packet) { leftOut[why, default: 0] += 1 } else { stamps[packet.interface] += 1 }
      if points[point].records.count >= 64 << 10 { try flush(point, writer) }
    }
    if let failure { failures.append(failure) }
    for point in points.indices { try flush(point, writer) }
    close(reader, fixed, stamps: stamps, leftOut, failure)
  }

  private func place(of interface: Int, _ fixed: HookPoint?) -> Int? {
    if let fixed { return points.firstIndex { $0.hook == fixed } }
    return points.indices.contains(interface) ? interface : nil
  }

  private mutating func flush(_ place: Int, _ writer: MachineWriter) throws(RecordingError) {
    let records = points[place].records
    points[place].records.removeAll(keepingCapacity: true)
    let cpu = points[place].row.cpu
    try unsafe records.withUnsafeBufferPointer { (bytes) throws(RecordingError) in
      try unsafe writer.append(cpu: cpu, bytes: UnsafeRawBufferPointer(bytes))
    }
  }

  /// Enters into the ledger what the file tells of losses, and describes it.
  private mutating func close(
    _ reader: CaptureReader, _ fixed: HookPoint?, stamps: [UInt64], _ leftOut: [LeftOut: UInt64],
    _ failure: CaptureError?
  ) {
    var described: [Capture.Interface] = []
    for (number, interface) in reader.interfaces.enumerated() {
      // ERF declares none: those below the first that is used are gaps.
      guard let place = place(of: number, fixed),
        reader.format != .erf || interface.countedDrops != nil || interface.packets > 0
      else { continue }
      points[place].isUsed = true
      points[place].row.add(lost: interface.drops ?? 0)
      if let name = interface.name { points[place].interfaces.append(name) }
      if !points[place].files.contains(reader.path) { points[place].files.append(reader.path) }
      described.append(
        Capture.Interface(
          number: number, name: interface.name, hook: points[place].hook.name, linkType: interface.linkType.number,
          snapLength: interface.snapLength, resolution: interface.resolution.description,
          timeSource: interface.source.name, packets: interface.packets,
          stamps: number < stamps.count ? stamps[number] : 0, drops: interface.drops))
    }
    let statistics = reader.statistics
    // Which interface they were of is not known: the first one answers for them.
    let place = place(of: 0, fixed) ?? 0
    for (reason, count) in statistics.skipped {
      switch reason.ledger {
      case .lost: points[place].row.add(lost: count)
      case .filtered: points[place].row.add(filtered: count)
      case .nothing: break
      }
    }
    captures.append(
      Capture(
        file: reader.path, format: reader.formatName, interfaces: described,
        skipped: Dictionary(statistics.skipped.map { ($0.key.description, $0.value) }, uniquingKeysWith: &+),
        leftOut: LeftOut.counts(leftOut), error: failure?.description))
  }

  private mutating func describe(stoppedBy reason: String) {
    let used = points.filter(\.isUsed)
    machine.hooks = used.map {
      AttachedHook(
        name: $0.hook.name, attachedAs: "file:" + $0.files.joined(separator: " "), watches: $0.interfaces)
    }
    machine.paths = [Path(name: "wire", hooks: used.map(\.hook.name))]
    machine.ledger = used.map(\.row)
    machine.captures = captures
    // Only while all taps captured does a missing packet mean a lost one.
    let heard = used.filter { $0.row.emitted > 0 }
    machine.startedAt = heard.map(\.first).max() ?? 0
    machine.stoppedAt = max(machine.startedAt, heard.map(\.last).min() ?? 0)
    machine.stoppedBy = reason
  }
}

extension LedgerRow {
  fileprivate mutating func add(lost: UInt64 = 0, filtered: UInt64 = 0) {
    self.lost += Count(lost)
    self.filtered += Count(filtered)
    seen += Count(lost) + Count(filtered)
  }
}
