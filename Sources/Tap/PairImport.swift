// SPDX-License-Identifier: GPL-2.0-or-later
package import Pairing
package import Recording

/// Pairs requests and answers of capture files: those of one capture, read together in order of time.
package struct PairImport {
  /// Most names that pairs of one recording may have.
  private static let nameLimit = 4096

  /// One line each: files that could not be read to their end; what came before is paired.
  package private(set) var failures: [CaptureError] = []

  private let pairer: Pairer
  private var files: [File] = []
  private var numbers: [String: UInt16] = [:]
  private var names: [Recording.Pairing.Name] = []
  /// Pairs that were left out because there were too many names.
  private var nameless = 0

  private struct File {
    let reader: CaptureReader
    var next: CapturedPacket?
  }

  /// Opens all files, so that a wrong one leaves nothing behind.
  package init(paths: [String], pairer: Pairer) throws(CaptureError) {
    self.pairer = pairer
    for path in paths { files.append(File(reader: try CaptureReader(path: path), next: nil)) }
  }

  /// Reads to the end of all files.
  ///
  /// - Parameter stopRequested: ends the reading early; what was read until then is paired.
  package mutating func run(hostname: String, session: String, stopRequested: () -> String?) -> MachineRecording {
    for index in files.indices { advance(index) }
    var recording = MachineRecording(machine: machine(hostname, session))
    var count = 0
    var reason = "end of file"
    while let index = earliest, let packet = files[index].next {
      pairer.take(
        PairingPacket(
          time: packet.time, linkType: packet.linkType.number, length: packet.length, bytes: packet.bytes,
          interface: packet.interface))
      advance(index)
      count += 1
      if count % 65_536 == 0 {
        take(&recording)
        if let stop = stopRequested() {
          reason = stop
          break
        }
      }
    }
    pairer.finish()
    take(&recording)
    recording.pairs.sort { $0.end < $1.end }
    recording.machine.startedAt = recording.pairs.map { UInt64(clamping: $0.start) }.min() ?? 0
    recording.machine.stoppedAt = UInt64(clamping: recording.pairs.last?.end ?? 0)
    recording.machine.stoppedBy = failures.isEmpty ? reason : "error"
    recording.machine.pairing = pairing
    recording.machine.captures = files.map { capture($0.reader) }
    recording.damage = failures.map(\.description)
    return recording
  }

  /// Writes what ``run(hostname:session:stopRequested:)`` gave below `directory`, which holds `session.json`.
  package static func write(
    _ recording: MachineRecording, session: Session, directory: String
  ) throws(RecordingError) {
    // Times count from 1970, so CTF readers need no offset to show them.
    let writer = try MachineWriter(directory: directory, machine: recording.machine, session: session, utcOffset: 0)
    for pair in recording.pairs { try writer.append(cpu: 0, pair.bytes) }
    try writer.close(recording.machine)
  }

  private var earliest: Int? {
    files.indices.filter { files[$0].next != nil }.min { (files[$0].next?.time ?? 0) < (files[$1].next?.time ?? 0) }
  }

  private mutating func advance(_ index: Int) {
    do throws(CaptureError) { files[index].next = try files[index].reader.next() } catch {
      files[index].next = nil
      failures.append(error)
    }
  }

  private mutating func take(_ recording: inout MachineRecording) {
    for (kind, pairs) in pairer.takePairsByProtocol() {
      for pair in pairs {
        guard let number = number(of: pair.name, kind) else {
          nameless += 1
          continue
        }
        recording.pairs.append(
          RecordedPair(
            name: number, start: pair.start, end: pair.end, last: pair.endLast, isRepeated: pair.retransmitted))
      }
    }
  }

  private mutating func number(of name: String, _ kind: String) -> UInt16? {
    if let number = numbers[name] { return number }
    guard names.count < PairImport.nameLimit else { return nil }
    let number = UInt16(names.count)
    numbers[name] = number
    names.append(Recording.Pairing.Name(name: name, ofProtocol: kind))
    return number
  }

  private func machine(_ hostname: String, _ session: String) -> Machine {
    // No machine's boot: nobody else has this clock, so that nothing is joined to it without an alignment.
    var machine = Machine(
      name: MachineName.make(role: "wire", hostname: hostname), role: "wire", hostname: hostname,
      bootID: "capture-\(session)", topology: "wire")
    machine.clockSource = "capture"
    machine.paths = [Path(name: "wire", hooks: [HookPoint.wireIn.name, HookPoint.wireOut.name])]
    return machine
  }

  private var pairing: Recording.Pairing {
    let ledger = pairer.ledger
    var packets = [
      "packets": ledger.packets.packets, "not_ip": ledger.packets.notIP, "fragments": ledger.packets.fragments,
      "malformed": ledger.packets.malformed, "truncated": ledger.packets.truncated,
      "evicted_connections": ledger.packets.evictedConnections,
    ]
    if nameless > 0 { packets["pairs_of_too_many_names"] = nameless }
    return Recording.Pairing(
      names: names,
      protocols: ledger.protocols.map { Recording.Pairing.Tally(name: $0.name, counts: $0.tally.counts) },
      packets: packets)
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

extension PairTally {
  /// By the names of `docs/pairing.md`, without those that are 0.
  fileprivate var counts: [String: Int] {
    let all = [
      "requests": requests, "paired": paired, "retransmitted": retransmitted, "unanswered": unanswered,
      "silent": silent, "abandoned": abandoned, "evicted": evicted, "repeated_requests": repeatedRequests,
      "provisional": provisional, "repeated_responses": repeatedResponses, "unmatched_responses": unmatchedResponses,
      "gaps": gaps, "truncated": truncated, "malformed": malformed, "ambiguous": ambiguous, "disordered": disordered,
      "unread_bytes": unreadBytes,
    ]
    return all.filter { $0.value > 0 || $0.key == "requests" || $0.key == "paired" }
  }
}
