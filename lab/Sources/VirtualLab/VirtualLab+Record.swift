// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc

extension VirtualLab {
  /// Records a scenario's workload on host and guest with one command on the host, and fetches the session.
  package func record(_ scenario: Scenario, into output: String) throws {
    try guest.run("latprobe agent vsock: >/tmp/agent.log 2>&1 & sleep 0.5; cat /tmp/agent.log")
    var servers: [Command] = []
    for step in scenario.workload where step.background ?? false {
      if let command = try start(step) { servers.append(command) }
    }
    let recording = try startRecording(
      ["--guest", "vsock:\(VirtualLab.guestCID)"] + VirtualLab.arguments(scenario.recording), in: "/var/tmp/session")
    usleep(500_000)
    for step in scenario.workload where !(step.background ?? false) { try run(step) }
    usleep(500_000)
    try recording.stop()
    for command in servers { command.signal(SIGTERM) }
    try? FileManager.default.removeItem(atPath: output)
    try host.fetch("/var/tmp/session", into: output)
  }

  package static func arguments(_ recording: Scenario.Recording) -> [String] {
    ["--topology", recording.topology, "--side", "host", "--guest-name", "lab-guest", "--guest-dev", "eth0"]
      + (recording.filter.map { ["--filter", $0] } ?? []) + (recording.options ?? [])
  }

  /// `latprobe record` on the host.
  package struct Recording {
    let machine: Machine
    let pid: Int
    let log: String

    /// Ends it in order; it has written all it has then.
    package func stop() throws {
      try machine.run("kill -TERM \(pid)")
      try machine.wait(for: "! grep -qs latprobe /proc/\(pid)/comm", limit: 60)
      let text = try machine.run("cat \(log)")
      guard text.contains("Next: latprobe report") else { throw LabError("latprobe record: \(text)") }
    }
  }

  package func startRecording(_ arguments: [String], in folder: String) throws -> Recording {
    let log = folder + ".log"
    let words = arguments.map { "'" + $0.replacingOccurrences(of: "'", with: "'\\''") + "'" }.joined(separator: " ")
    let text = try host.run("/usr/bin/latprobe record \(words) -o \(folder) --force >\(log) 2>&1 & echo $!")
    guard let pid = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) else { throw LabError("no pid: \(text)") }
    let recording = Recording(machine: host, pid: pid, log: log)
    try host.wait(for: "grep -q '^recording ' \(log) || { cat \(log); false; }", limit: 30)
    return recording
  }

  private func start(_ step: Scenario.Step) throws -> Command? {
    switch step.at {
    case .outside: return try startOutside(["sh", "-c", step.run])
    case .host: try host.run(step.run + " >/tmp/step.log 2>&1 &")
    case .guest: try guest.run(step.run + " >/tmp/step.log 2>&1 &")
    }
    return nil
  }

  private func run(_ step: Scenario.Step) throws {
    switch step.at {
    case .outside: try runOutside(step.run)
    case .host: try host.run(step.run, limit: 120)
    case .guest: try guest.run(step.run, limit: 120)
    }
  }
}
