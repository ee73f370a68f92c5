// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Pairing
import Recording
import Testing

@testable import Tap

@Suite struct PairSpillTests {
  /// DNS queries and their answers, each later by another time.
  private func capture(_ count: Int) -> [UInt8] {
    var packets: [(time: UInt32, frame: [UInt8])] = []
    for number in 0..<count {
      let time = UInt32(number * 1_000)
      packets.append((time, dnsFrame(number)))
      packets.append((time + 100 + UInt32(number * 7_919 % 5_000), dnsFrame(number, isAnswer: true)))
    }
    return pcap(
      packets.sorted { $0.time < $1.time }.map {
        TestPacket(seconds: 1_700_000_000, fraction: $0.time, frame: $0.frame)
      })
  }

  private func read(_ path: String, limit: Int?, below folder: String) throws -> (MachineRecording, PairSpill?) {
    let spill = limit.map { PairSpill(in: folder, byEnd: true, limit: $0) }
    var reading = try PairImport(paths: [path], pairer: Pairer([.dns]), spill: spill)
    let recording = try reading.run(hostname: "a", session: "s") { nil }
    #expect(reading.failures.isEmpty)
    return (recording, spill)
  }

  /// What is loaded from the recording that was written.
  private func written(_ recording: MachineRecording, _ spill: PairSpill?, _ folder: String) throws -> MachineRecording
  {
    let session = Session(id: "s", members: [recording.machine.name], labels: [:], commandLine: [], createdAt: 0)
    try Session.prepare(directory: folder, force: false)
    try session.write(to: folder)
    try recording.writePairs(session: session, directory: folder, spill: spill)
    return try MachineRecording.load(directory: "\(folder)/\(recording.machine.name)")
  }

  @Test(arguments: [299, 300, 301, 77]) func aRecordingIsTheSame(_ limit: Int) throws {
    let scratch = try Scratch()
    let path = try scratch.put("capture", capture(300))
    let (held, _) = try read(path, limit: nil, below: scratch.path)
    let (kept, spill) = try read(path, limit: limit, below: scratch.path)
    #expect(held.pairs.count == 300 && held.machine.pairing?.names.map(\.name) == ["dns"])
    #expect(kept.pairs.isEmpty == (limit < 300) && spill?.count == (limit < 300 ? 300 : 0))
    #expect(kept.machine == held.machine)
    let expected = try written(held, nil, "\(scratch.path)/held")
    let found = try written(kept, spill, "\(scratch.path)/kept")
    #expect(found.pairs == expected.pairs && found.pairs.count == 300 && found.damage.isEmpty)
    #expect(found.machine.startedAt == expected.machine.startedAt && found.machine.stoppedAt != nil)
  }

  @Test func aFolderThatIsMissingEndsTheReading() throws {
    let scratch = try Scratch()
    let path = try scratch.put("capture", capture(300))
    let error = try #require(throws: RecordingError.self) {
      _ = try read(path, limit: 100, below: "\(scratch.path)/none")
    }
    #expect(error.errno == ENOENT)
  }
}
