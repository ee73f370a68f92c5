// SPDX-License-Identifier: GPL-2.0-or-later
package import Pairing
package import Recording
internal import Stamping

/// Pairs requests and answers of capture files: those of one capture, read together in order of time.
package struct PairImport {
  private var collector: PairCollector
  private var files: [File] = []
  private var order: CaptureOrder
  /// A gap that the connections were not yet told of, and when they were told of the last one.
  private var owesGap = false
  private var lastGap: Int64?
  /// Nanoseconds: to tell all connections takes time, and a gap puts them out of step for longer than this anyway.
  private static let gapInterval: Int64 = 1_000_000

  private struct File {
    let reader: CaptureReader
    var next: CapturedPacket?
    /// The file told of losses since the packet before ``next``.
    var isAfterGap = false
    var failure: CaptureError?
  }

  /// One line each: files that could not be read to their end; what came before is paired.
  package var failures: [CaptureError] { files.compactMap(\.failure) }

  /// Opens all files, so that a wrong one leaves nothing behind.
  ///
  /// - Parameter spill: takes all pairs where there are more than its limit; nil: they are held.
  package init(
    paths: [String], pairer: Pairer, spill: PairSpill? = nil, order: CaptureOrder = CaptureOrder(),
    expansion: Expansion = .usual
  ) throws(CaptureError) {
    collector = PairCollector(pairer, spill: spill)
    self.order = order
    for path in paths { files.append(File(reader: try CaptureReader(path: path, expansion: expansion), next: nil)) }
  }

  /// Reads to the end of all files.
  ///
  /// - Parameter stopRequested: ends the reading early; what was read until then is paired.
  package mutating func run(
    hostname: String, session: String, stopRequested: @escaping () -> String?
  ) throws(RecordingError) -> MachineRecording {
    for file in files { file.reader.stop { stopRequested() != nil } }
    for index in files.indices { advance(index) }
    while let index = earliest, let packet = files[index].next {
      order.add(PairingPacket(packet), isAfterGap: files[index].isAfterGap)
      advance(index)
      if order.isFull { try pair(order.takeHalf()) }
    }
    try pair(order.takeRest())
    let reason = stopRequested() ?? "end of file"
    var machine = Machine(
      name: MachineName.make(role: "wire", hostname: hostname), role: "wire", hostname: hostname, bootID: "",
      topology: "wire")
    machine.clockSource = "capture"
    machine.takeCaptureClock(session: session)
    machine.captures = files.map(capture)
    machine.hooks = [
      AttachedHook(
        name: HookPoint.wireIn.name, attachedAs: "file:" + files.map(\.reader.path).joined(separator: " "),
        watches: files.flatMap { $0.reader.interfaces.compactMap(\.name) })
    ]
    machine.ledger = [ledger]
    var recording = collector.finish(machine, stoppedBy: failures.isEmpty ? reason : "error")
    if let failure = collector.failure { throw failure }
    let steps = files.reduce(0) { $0 + $1.reader.statistics.stepsBack }
    if steps > 0 { recording.machine.pairing?.packets[PairingAccount.stepsBack] = Count(steps) }
    for file in files {
      for interface in file.reader.interfaces where !interface.linkType.isRead && interface.packets > 0 {
        let name = Capture.unreadLinkType(interface.linkType.number)
        recording.machine.pairing?.packets[name, default: 0] += Count(interface.packets)
      }
    }
    if order.late > 0 { recording.machine.pairing?.packets[PairingAccount.outOfOrder] = Count(order.late) }
    let step = recording.machine.captures?.flatMap(\.interfaces).filter { $0.packets > 0 }.map(\.step).max() ?? 0
    for name in recording.machine.pairing?.names.indices ?? 0..<0 where step > 0 {
      recording.machine.pairing?.names[name].error = step
    }
    recording.discardedByCPU = [0: ledger.lost]
    recording.damage = failures.map(\.description)
    return recording
  }

  private mutating func pair(_ entries: [CaptureOrder.Entry]) throws(RecordingError) {
    for entry in entries {
      owesGap = owesGap || entry.isAfterGap
      let isSoon = lastGap.map { entry.packet.time &- $0 < PairImport.gapInterval } ?? false
      if owesGap, !isSoon {
        collector.pairer.miss()
        (owesGap, lastGap) = (false, entry.packet.time)
      }
      collector.pairer.take(entry.packet)
    }
    collector.take()
    if let failure = collector.failure { throw failure }
  }

  private var ledger: LedgerRow {
    var row = LedgerRow(hook: HookPoint.wireIn.name, cpu: 0)
    row.emitted = Count(collector.pairer.ledger.packets.packets)
    row.lost = Count(order.late)
    for file in files {
      row.lost += Count(file.reader.lost)
      row.filtered += Count(file.reader.filtered)
    }
    row.seen = row.emitted + row.lost + row.filtered
    return row
  }

  private var earliest: Int? {
    var earliest: (index: Int, time: Int64)?
    for index in files.indices {
      guard let time = files[index].next?.time, time < earliest?.time ?? .max || earliest == nil else { continue }
      earliest = (index, time)
    }
    return earliest?.index
  }

  private mutating func advance(_ index: Int) {
    let reader = files[index].reader
    let gaps = reader.gaps
    do throws(CaptureError) { files[index].next = try reader.next() } catch {
      files[index].next = nil
      files[index].failure = error
    }
    files[index].isAfterGap = reader.gaps != gaps
  }

  private func capture(_ file: File) -> Capture {
    let reader = file.reader
    return Capture(
      file: reader.path, format: reader.formatName,
      interfaces: reader.interfaces.enumerated().map { number, interface in
        Capture.Interface(
          number: number, name: interface.name, hook: HookPoint.wireIn.name, linkType: interface.linkType.number,
          snapLength: interface.snapLength, resolution: interface.resolution.description,
          timeSource: interface.source.name, packets: interface.packets, stamps: 0, drops: interface.drops)
      },
      skipped: Dictionary(
        reader.statistics.skipped.map { ($0.key.description, $0.value) }, uniquingKeysWith: &+),
      error: file.failure?.description)
  }
}

extension PairingPacket {
  fileprivate init(_ packet: CapturedPacket) {
    self.init(
      time: packet.time, linkType: packet.linkType.number, length: packet.length, bytes: packet.bytes,
      interface: packet.interface)
  }
}

extension MachineRecording {
  /// Writes pairs below `directory`, which holds `session.json`: its own, or those on disk.
  package func writePairs(
    session: Session, directory: String, spill: PairSpill? = nil
  ) throws(RecordingError) {
    // Until all is written, nobody must take it for the whole.
    var begun = machine
    (begun.stoppedAt, begun.stoppedBy) = (nil, nil)
    // Times count from 1970, so CTF readers need no offset to show them.
    let writer = try MachineWriter(directory: directory, machine: begun, session: session, utcOffset: 0)
    let lost = Dictionary(machine.ledger.map { ($0.cpu, $0.lost) }, uniquingKeysWith: +)
    for (cpu, count) in lost { writer.discarded(cpu: cpu, total: count) }
    do throws(RecordingError) {
      for pair in pairs { try writer.append(cpu: 0, pair.bytes) }
      if let spill, spill.count > 0 {
        try spill.forEachByEnd { (pair) throws(RecordingError) in try writer.append(cpu: 0, pair.bytes) }
      }
    } catch {
      var cut = machine
      cut.stoppedBy = Machine.end(by: error)
      try? writer.close(cut)
      guard error.kind == .diskFull, let errno = error.errno else { throw error }
      throw RecordingError(
        .diskFull, path: error.path, errno: errno,
        "no room for all pairs (errno \(errno)): those before are complete and readable; free space, or record elsewhere"
      )
    }
    try writer.close(machine)
  }
}
