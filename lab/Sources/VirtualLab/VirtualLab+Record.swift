// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc

extension VirtualLab {
  /// Records a scenario's workload on host and guest, if it has one, with one command on the host, and fetches the session.
  ///
  /// - Parameter labels: of the session, `key=value`.
  package func record(_ scenario: Scenario, labels: [String], into output: String) throws {
    let hasGuest = scenario.guest != nil
    if hasGuest { try guest.run("latprobe agent vsock: >/tmp/agent.log 2>&1 & sleep 0.5; cat /tmp/agent.log") }
    var servers: [Command] = []
    for step in scenario.workload where step.background ?? false {
      if let command = try start(step) { servers.append(command) }
    }
    let recording = try startRecording(
      (hasGuest ? ["--guest", "vsock:\(VirtualLab.guestCID)"] : [])
        + VirtualLab.arguments(scenario.recording, hasGuest: hasGuest) + labels.flatMap { ["--label", $0] },
      in: "/var/tmp/session")
    usleep(500_000)
    for step in scenario.workload where !(step.background ?? false) { try run(step) }
    usleep(500_000)
    let end = Result { try recording.stop() }
    for command in servers { command.signal(SIGTERM) }
    try? FileManager.default.removeItem(atPath: output)
    // What there is tells more than the error alone.
    try host.fetch("/var/tmp/session", into: output)
    do { try end.get() } catch let error as LabError {
      guard hasGuest else { throw error }
      let agent = try guest.attempt("cat /tmp/agent.log").output
      throw error.adding("the agent's log", String(decoding: agent, as: UTF8.self))
    }
  }

  package static func arguments(_ recording: Scenario.Recording, hasGuest: Bool = true) -> [String] {
    ["--topology", recording.topology]
      + (hasGuest
        ? ["--side", "host", "--guest-name", "lab-guest", "--guest-dev", "eth0", "--guest-grace", "60s"]
        : ["--dev", "eth0"])
      + (recording.filter.map { ["--filter", $0] } ?? []) + (recording.options ?? [])
  }

  /// `latprobe record` on the host.
  package struct Recording {
    let machine: Machine
    let pid: Int
    let log: String

    /// Ends it in order; it has written all it has then. Throws if latprobe says that something is missing.
    package func stop() throws {
      try machine.run("kill -TERM \(pid)")
      try machine.wait(for: "[ -s \(log).status ]", limit: 120)
      try check()
    }

    /// Throws if it has ended, and not well.
    func check() throws {
      let status = try machine.run("cat \(log).status 2>/dev/null || echo 0")
        .trimmingCharacters(in: .whitespacesAndNewlines)
      guard status == "0" else {
        throw LabError("latprobe record ended with \(status)").adding("its log", try machine.run("cat \(log)"))
      }
    }
  }

  package func startRecording(_ arguments: [String], in folder: String) throws -> Recording {
    let log = folder + ".log"
    let words = arguments.map { "'" + $0.replacingOccurrences(of: "'", with: "'\\''") + "'" }.joined(separator: " ")
    try host.run("rm -f \(log).status \(log).pid")
    let record = "/usr/bin/latprobe record \(words) -o \(folder) --force >\(log) 2>&1"
    try host.run("{ \(record) & echo $! >\(log).pid; wait $!; echo $? >\(log).status; } >/dev/null 2>&1 &")
    try host.wait(for: "[ -s \(log).pid ]")
    let text = try host.run("cat \(log).pid")
    guard let pid = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) else { throw LabError("no pid: \(text)") }
    let recording = Recording(machine: host, pid: pid, log: log)
    // Emulated kernels take long to verify programs with a filter.
    try host.wait(for: "[ -s \(log).status ] || grep -q '^recording ' \(log) || { cat \(log); false; }", limit: 300)
    try recording.check()
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
