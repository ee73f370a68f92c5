// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Host
import Timing

/// How the thread that keeps the schedule runs.
struct TuningOptions: ParsableArguments {
  @Option(help: "The only CPU to run on.")
  var cpu: Int?

  @Option(help: ArgumentHelp("Run with SCHED_FIFO and this priority, 1 to 99.", valueName: "priority"))
  var fifo: Int?

  var thread: ThreadTuning { ThreadTuning(cpu: cpu, priority: fifo) }

  func validate() throws {
    if let fifo, !(1...99 ~= fifo) { throw ValidationError("--fifo takes a priority from 1 to 99") }
    if let cpu, case let online = CPUList(System.read("/sys/devices/system/cpu/online") ?? ""), !online.isEmpty,
      !online.cpus.contains(cpu)
    {
      throw ValidationError("--cpu takes the number of a CPU that is online: \(online)")
    }
  }
}
