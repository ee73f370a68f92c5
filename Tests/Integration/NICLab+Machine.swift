// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension NICLab {
  /// A processor that goes and comes back, a clock that is set, a machine that sleeps: each is told, and none disturbs.
  func expectChangesOfTheMachine() throws {
    let processor = "/sys/devices/system/cpu/cpu1/online"
    // Echoes alone: what is sent to a port without a reflector is answered by errors.
    let recorded = try listen("record --topology host-nic --dev eth0 --filter 'icmp[0] & 247 = 0'", "m") {
      try ping(count: 11)
      try run("echo 0 >\(processor)")
      usleep(500_000)
      try ping(count: 13)
      try run("echo 1 >\(processor)")
      usleep(500_000)
      try ping(count: 17)
      try run("date -s @$(($(date +%s) + 1000))")
      usleep(500_000)
      try expectSleepIsTold {
        // Into S3, until its own alarm.
        try run("echo +3 >/sys/class/rtc/rtc0/wakealarm; echo mem >/sys/power/state")
        usleep(500_000)
        try ping(count: 5)
      }
    }
    #expect(recorded.status == 0, "\(recorded.text)")
    let recording = try load("m")
    let changes = recording.machine.changes ?? []
    func one(_ what: Change.Kind) -> Change? { changes.first { $0.what == what } }
    #expect(one(.cpuOffline)?.cpu == 1 && one(.cpuOnline)?.cpu == 1, "\(changes)")
    #expect((one(.clockSet)?.by ?? 0) > 900_000_000_000, "\(changes)")
    #expect(one(.suspended)?.hooks.contains("rxh0") == true, "\(changes)")
    for words in ["CPU 1 went offline", "CPU 1 came online", "the wall clock was set by", "the machine was suspended"] {
      #expect(recorded.text.contains(words), "\(words): \(recorded.text)")
    }
    #expect(recording.stamps.count { $0.hook == .rxh0 } == 11 + 13 + 17 + 5, "\(recorded.text)")
    #expect(recording.machine.ledger.sum(\.lost) == 0)
  }

  /// By those who record packets as they come, and by a sender, which goes on where it was.
  private func expectSleepIsTold(_ sleep: () throws -> Void) throws {
    let commands = [
      "tap eth0 --filter icmp", "pair --proto icmp eth0", "send 10.77.0.1 --rate 10 --no-answers --timestamps kernel",
    ]
    var told: [(status: Int32, text: String)] = []
    func run(_ number: Int) throws {
      guard number < commands.count else { return try sleep() }
      told.append(try listen(commands[number], "sleep\(number)") { try run(number + 1) })
    }
    try run(0)
    for (number, output) in told.reversed().enumerated() {
      #expect(output.status == 0 && output.text.contains("the machine was suspended"), "\(output.text)")
      let recording = try load("sleep\(number)")
      let change = try #require(recording.machine.changes?.first { $0.what == .suspended }, "\(output.text)")
      #expect((change.by ?? 0) > 500_000_000 && !change.hooks.isEmpty, "\(change)")
      #expect(!recording.wireStamps.isEmpty || !recording.pairs.isEmpty)
    }
  }

  /// One that was not there at the start has a buffer, too: what is stamped on it is not lost.
  func expectStampsOfALateProcessor() throws {
    let processor = "/sys/devices/system/cpu/cpu1/online"
    try run("echo 0 >\(processor)")
    let recorded = try listen("record --topology host-nic --dev eth0 --filter icmp", "n") {
      try run("echo 1 >\(processor)")
      usleep(300_000)
      try run("taskset -c 1 ping -c 7 10.77.0.1")
    }
    #expect(recorded.status == 0, "\(recorded.text)")
    let sent = try load("n").stamps.filter { $0.hook == .txg1 }
    #expect(sent.count == 7 && sent.allSatisfy { $0.cpu == 1 }, "\(sent.map(\.cpu))")
  }
}
