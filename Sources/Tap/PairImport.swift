// SPDX-License-Identifier: GPL-2.0-or-later
package import Pairing
package import Recording

/// Pairs requests and answers of capture files: those of one capture, read together in order of time.
package struct PairImport {
  /// One line each: files that could not be read to their end; what came before is paired.
  package private(set) var failures: [CaptureError] = []

  private var collector: PairCollector
  private var files: [File] = []

  private struct File {
    let reader: CaptureReader
    var next: CapturedPacket?
  }

  /// Opens all files, so that a wrong one leaves nothing behind.
  ///
  /// - Parameter spill: takes all pairs where there are more than its limit; nil: they are held.
  package init(paths: [String], pairer: Pairer, spill: PairSpill? = nil) throws(CaptureError) {
    collector = PairCollector(pairer, spill: spill)
    for path in paths { files.append(File(reader: try CaptureReader(path: path), next: nil)) }
  }

  /// Reads to the end of all files.
  ///
  /// - Parameter stopRequested: ends the reading early; what was read until then is paired.
  package mutating func run(
    hostname: String, session: String, stopRequested: () -> String?
  ) throws(RecordingError) -> MachineRecording {
    for index in files.indices { advance(index) }
    var count = 0
    var reason = "end of file"
    while let index = earliest, let packet = files[index].next {
      collector.pairer.take(PairingPacket(packet))
      advance(index)
      count += 1
      if count % 65_536 == 0 {
        collector.take()
        if let failure = collector.failure { throw failure }
        if let stop = stopRequested() {
          reason = stop
          break
        }
      }
    }
    var machine = Machine(
      name: MachineName.make(role: "wire", hostname: hostname), role: "wire", hostname: hostname, bootID: "",
      topology: "wire")
    machine.clockSource = "capture"
    machine.takeCaptureClock(session: session)
    machine.captures = files.map { capture($0.reader) }
    var recording = collector.finish(machine, stoppedBy: failures.isEmpty ? reason : "error")
    if let failure = collector.failure { throw failure }
    recording.damage = failures.map(\.description)
    return recording
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
    do throws(CaptureError) { files[index].next = try files[index].reader.next() } catch {
      files[index].next = nil
      failures.append(error)
    }
  }

  private func capture(_ reader: CaptureReader) -> Capture {
    Capture(
      file: reader.path, format: reader.formatName,
      interfaces: reader.interfaces.enumerated().map { number, interface in
        Capture.Interface(
          number: number, name: interface.name, hook: HookPoint.wireIn.name, linkType: interface.linkType.number,
          snapLength: interface.snapLength, resolution: interface.resolution.description,
          timeSource: interface.source.name, packets: interface.packets, stamps: 0, drops: interface.drops)
      },
      skipped: Dictionary(
        reader.statistics.skipped.map { ($0.key.description, $0.value) }, uniquingKeysWith: &+),
      error: failures.first { $0.description.hasPrefix(reader.path) }?.description)
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
    // Times count from 1970, so CTF readers need no offset to show them.
    let writer = try MachineWriter(directory: directory, machine: machine, session: session, utcOffset: 0)
    for interface in machine.interfaces ?? [] {
      writer.discarded(cpu: Int(interface.number), total: interface.ringDrops)
    }
    for pair in pairs { try writer.append(cpu: 0, pair.bytes) }
    if let spill, spill.count > 0 {
      try spill.forEachByEnd { (pair) throws(RecordingError) in try writer.append(cpu: 0, pair.bytes) }
    }
    try writer.close(machine)
  }
}
