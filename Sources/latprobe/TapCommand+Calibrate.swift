// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Host
import Recording
import Reporting
import Tap

extension TapCommand {
  /// Sends and records the frames, fits the constants and writes them beside the recording.
  func fit() throws {
    let place = try RecordingPlace(output, force: force)
    if let netns { try NetworkNamespace.named(netns).enter() }
    StopSignal.watch()
    var calibrator = try Calibrator(devices, count: count ?? 1_000, requiresHardware: requireHw) {
      Console.error("warning: \($0)")
    }
    let session = Session(
      id: UUID().uuidString.lowercased(), members: [calibrator.machine.name],
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
    Privileges.keep([])
    try place.begin(session)
    Console.error("sending \(count ?? 1_000) frames each way between \(devices[0]) and \(devices[1])")
    let machine = try calibrator.run(session: session, directory: output) { StopSignal.name }
    let recording = try MachineRecording.load(directory: "\(output)/\(machine.name)")
    let found = try Calibration(recording, session: session)
    try found.write(to: output)
    for line in Report.lines(found) { try Console.output(line + "\n") }
    Console.error("written to \(output)/\(Calibration.fileName); used by: latprobe report --calibration FILE")
    if requireHw, let poor = found.directions.first(where: { !$0.isHardware }) {
      throw CalibrationError(
        "\(poor.from) to \(poor.to): hardware time stamps were granted and not delivered, and --require-hw asks for them"
      )
    }
  }
}
