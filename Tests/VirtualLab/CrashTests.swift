// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing

@testable import VirtualLab

/// The emulator's crashes are told apart from latprobe's faults.
@Suite struct CrashTests {
  private let crash = LabError("the machine is gone", hung: true)

  @Test(arguments: [0, 1, 2]) func fewerThanThreeInARowAreNoFailure(_ crashes: Int) throws {
    var rounds = 0
    var told: [String] = []
    let result = try VirtualLab.again(onRetry: { told.append($0.description) }) {
      rounds += 1
      if rounds <= crashes { throw crash }
      return "done"
    }
    #expect(result == "done" && rounds == crashes + 1)
    #expect(told == [String](repeating: "the machine is gone", count: crashes))
  }

  @Test func threeInARowAreOne() {
    var rounds = 0
    #expect(throws: LabError.self) {
      try VirtualLab.again(onRetry: { _ in }) {
        rounds += 1
        throw crash
      }
    }
    #expect(rounds == 3)
  }

  /// What latprobe does wrong is no crash, and is not tried again.
  @Test func aFaultIsNotTriedAgain() {
    var rounds = 0
    #expect(throws: LabError.self) {
      try VirtualLab.again(onRetry: { _ in }) {
        rounds += 1
        throw LabError("a packet is missing")
      }
    }
    #expect(rounds == 1)
  }

  /// The message holds how QEMU ended, what it said, and the console's end.
  @Test func theMessageTellsHowItEnded() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let socket = folder.appendingPathComponent("s").path
    let emulator = try Command(
      [
        "python3", "-c",
        """
        import os, signal, socket, sys
        s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
        c = s.accept()[0]; c.recv(100)
        print("qemu: fatal", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """, socket,
      ], in: folder)
    let machine = try Machine(name: "host", socket: socket, of: emulator)
    machine.lastWords = { ("the host's console", "BUG: unable to handle\nCall Trace:") }
    let error = #expect(throws: LabError.self) { try machine.run("true") }
    #expect(error?.hung == true)
    for words in [
      "host: ", "QEMU was ended by signal 9", "QEMU's log ends with:\nqemu: fatal",
      "the host's console ends with:\nBUG: unable to handle\nCall Trace:",
    ] {
      #expect(error?.description.contains(words) == true, "\(words): \(error as Any)")
    }
  }
}
