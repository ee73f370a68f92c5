// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

@Suite struct ChangeTests {
  private func machine(_ changes: [(UInt64, Change.Kind, String)]) -> Machine {
    var machine = sampleMachine()
    machine.changes = changes.map { time, what, device in
      var change = Change(time: time, what, device: device, namespace: "web", id: "1:2")
      change.hooks = ["rxg0"]
      return change
    }
    return machine
  }

  @Test func aHookPointIsAbsentWhileAnyOfItsDevicesIs() {
    let machine = machine([
      (10, .down, "eth0"), (20, .deleted, "eth1"), (30, .up, "eth0"), (40, .back, "eth1"), (50, .suspended, ""),
      (60, .moved, "eth0"), (70, .back, "eth0"), (70, .down, "eth0"), (80, .unnamed, ""),
    ])
    #expect(machine.absences(at: "rxg0") == [10...40, 50...50, 60...70, 70...UInt64.max])
    #expect(machine.absences(at: "txg0") == [])
  }

  @Test func whatALaterVersionKnowsIsKeptAndEndsNothing() throws {
    let known = machine([(10, .deleted, "eth0"), (20, Change.Kind(rawValue: "repainted"), "eth0"), (30, .back, "eth0")])
    let read = try JSONDecoder().decode(Machine.self, from: JSONEncoder().encode(known))
    #expect(read == known)
    #expect(read.absences(at: "rxg0") == [10...30])
    #expect(read.changes?.map(\.isGap) == [true, false, false])
  }

  @Test func changesAreToldInWords() {
    var change = Change(time: 1, .clockSet)
    change.by = -4_960_000_000
    #expect("\(change)" == "the wall clock was set by -4.960 s")
    #expect("\(Change(time: 1, .moved, device: "eth0", namespace: "web"))".hasPrefix("eth0@web was moved"))
  }
}
