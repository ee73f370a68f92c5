// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing

@testable import Recording

/// What a session's own file may ask for.
@Suite struct MembersTests {
  private func load(_ members: [String]) throws -> RecordedSession {
    let scratch = try Scratch()
    try writeSmall(scratch)
    try sampleSession(members: members).write(to: scratch.path)
    return try RecordedSession.load(paths: [scratch.path, "\(scratch.path)/host-a"])
  }

  @Test func manyMembersAreCountedAndNotToldOneByOne() throws {
    let recorded = try load(["host-a"] + (0..<50_000).map { "m\($0)" } + (0..<10_000).map { "m\($0)" })
    #expect(recorded.machines.count == 1 && recorded.damage.count == 101)
    #expect(recorded.damage.last == "49900 more recordings are missing")
  }

  @Test func moreThanAnySessionHasAreRefused() throws {
    let error = #expect(throws: RecordingError.self) { try load((0..<70_000).map { "m\($0)" }) }
    #expect(error?.kind == .damaged && error?.message.contains("70000 members, more than 65536") == true)
  }

  @Test(arguments: ["hooks", "paths", "segments", "names", "time", "error", "length"])
  func machinesBeyondAllBoundsAreDamaged(_ what: String) throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    var machine = sampleMachine()
    switch what {
    case "hooks": machine.hooks = (0..<300).map { AttachedHook(name: "h\($0)", attachedAs: nil) }
    case "paths": machine.paths = (0..<65).map { Path(name: "p\($0)", hooks: []) }
    case "segments": machine.segments = (0..<5_000).map { "a-\($0)" }
    case "names":
      machine.pairing = PairingAccount(
        names: (0..<65).map { .init(name: "n", ofProtocol: "p\($0)") }, protocols: [], packets: [:])
    case "time": machine.stoppedAt = 1 << 62
    case "error":
      machine.pairing = PairingAccount(
        names: [.init(name: "n", ofProtocol: "p", error: .min)], protocols: [], packets: [:])
    default: machine.segments = [String(repeating: "-", count: 100_000)]
    }
    try scratch.put("host-a/machine.json", JSONFile.encode(machine, "machine.json"))
    let error = #expect(throws: RecordingError.self) { try RecordedSession.load(paths: [scratch.path]) }
    #expect(
      error?.kind == .damaged && error?.description.contains("machine.json: is damaged (") == true, "\(error as Any)")
  }

  @Test func countsStopInsteadOfOverflowing() throws {
    #expect(Count(UInt64.max) == .max && Count(-5) == 0 && Count.max + 1 == .max && Count.max + .max == .max)
    #expect(Count(3) - 5 == 0 && [Count(1), 2, 3].sum() == 6 && Count(UInt64.max).isCapped)
    for text in ["-1", "9007199254740993", "18446744073709551615", "1e300", "0.5", "null", "\"1\""] {
      #expect(throws: (any Error).self) { try JSONDecoder().decode([Count].self, from: Data("[\(text)]".utf8)) }
    }
    let most = try JSONDecoder().decode([Count].self, from: Data("[0,9007199254740992]".utf8))
    #expect(most == [0, .max])
  }
}
