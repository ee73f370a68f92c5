// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import ArgumentParser
import Clocks
import Foundation
import Host
import Recording
import Reporting
import Timing
import Wording

struct TimerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "timer",
    abstract: "Measure what reading a clock costs on this machine, and what sleeps miss by.",
    discussion: """
      Cost: the time between two successive readings of one clock. Miss time: when a sleep was over, less when it should \
      have been; of clock_nanosleep, of nanosleep with a timer slack of 1 ns, and of a sleep that ends early and reads the \
      clock from there. Each on the idle machine, beside a busy thread on each CPU, and beside threads that write files.

        latprobe timer
        sudo latprobe timer --fifo 50 --cpu 1 --load idle -o run1
        latprobe report run1
        latprobe gate run1 --require 'timer-miss-idle/hybrid p99 < 20us'
      """)

  @Option(help: "Sleeps of each kind under each load; clocks are read ten times as often, up to 100000.")
  var samples = 2000

  @Option(help: "Length of the sleeps: 1ms.")
  var interval = TimeArgument(nanoseconds: 1_000_000)

  @Option(
    name: .customLong("load"),
    help: ArgumentHelp("\(LoadKind.names), joined by commas; default: all.", valueName: "loads"))
  var load: String?

  @OptionGroup var tuning: TuningOptions

  @Option(help: ArgumentHelp("Where the load 'io' writes, 32 MiB at most; default: $TMPDIR.", valueName: "dir"))
  var ioDir: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("Also write a recording, for report and gate.", valueName: "dir"))
  var output: String?

  @Option(name: .customLong("label"), help: ArgumentHelp("Label of the run; may be repeated.", valueName: "key=value"))
  var labels: [LabelArgument] = []

  @Flag(help: "Replace a recording that is in DIR.")
  var force = false

  @OptionGroup var writing: WriteOptions

  @Flag(help: "Print the result as JSON, as report --json does.")
  var json = false

  private func loads() throws -> [LoadKind] {
    guard let load else { return LoadKind.allCases }
    let kinds = try load.split(separator: ",").map { name in
      guard let kind = LoadKind(rawValue: String(name)) else {
        throw ValidationError("no load '\(name)'; there are \(LoadKind.names)")
      }
      return kind
    }
    return kinds.indices.filter { kinds.firstIndex(of: kinds[$0]) == $0 }.map { kinds[$0] }
  }

  func validate() throws {
    guard 2...1_000_000 ~= samples else { throw ValidationError("--samples takes a number from 2 to 1000000") }
    guard interval.nanoseconds <= 10_000_000_000 else { throw ValidationError("--interval takes 10s at most") }
    if output == nil, force || !labels.isEmpty { throw ValidationError("--force and --label go with -o") }
    guard try !loads().isEmpty else { throw ValidationError("--load takes one of \(LoadKind.names)") }
  }

  func run() throws {
    writing.apply()
    let place = try RecordingPlace.named(output, force: force)
    var options = TimerOptions()
    options.samples = samples
    options.interval = interval.nanoseconds
    options.loads = try loads()
    options.tuning = tuning.thread
    options.directory = ioDir ?? options.directory
    StopSignal.watch()

    let begin = ClockReading.now()
    var machine = Environment.machine(role: "timer", topology: "timer")
    machine.startedAt = UInt64(begin.monotonic.nanoseconds)
    let session = Session(
      id: UUID().uuidString.lowercased(), members: [machine.name],
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
    Privileges.keep(tuning.fifo == nil ? [] : [.sysNice])
    var study = TimerStudy(options)
    let series = try study.run(stopRequested: { StopSignal.name != nil }, progress: { Console.live("measuring \($0)") })
    Console.endLive()
    machine.stoppedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
    machine.stoppedBy = StopSignal.name ?? "count"
    for warning in study.warnings { Console.error("warning: \(warning)") }
    for entry in study.guards {
      Console.error("\(entry.load.rawValue): hybrid sleeps end \(Words.duration(entry.nanoseconds)) early and spin")
    }

    let recording = TimerCommand.recording(series, machine)
    let result = try analyse(session: session, recordings: [recording])
    if json {
      try Console.output(json: Report.json(result).text)
    } else {
      try Console.output(Report.timerTable(result, terminal: .output))
    }
    if let output {
      try place?.begin(session)
      let offset = begin.realtime.nanoseconds - begin.monotonic.nanoseconds
      let writer = try MachineWriter(
        directory: output, machine: recording.machine, session: session, utcOffset: offset)
      for pair in recording.pairs { try writer.append(cpu: 0, pair.bytes) }
      try writer.close(recording.machine)
      Console.error("recording in \(output). Next: latprobe report \(output)")
    }
  }

  /// Each sample as a pair, so that reports and gates work on it: the direction is quantity and load.
  private static func recording(_ series: [TimerSeries], _ machine: Machine) -> MachineRecording {
    var recording = MachineRecording(machine: machine)
    var pairing = PairingAccount(names: [], protocols: [], packets: [:])
    for (number, entry) in series.enumerated() {
      let direction = "timer-\(entry.quantity.rawValue)-\(entry.load.rawValue)"
      pairing.names.append(PairingAccount.Name(name: entry.name, ofProtocol: direction))
      for sample in entry.samples {
        recording.pairs.append(
          RecordedPair(
            name: UInt16(number), start: sample.start, end: sample.end, last: nil, isRepeated: false))
      }
    }
    recording.pairs.sort { $0.end < $1.end }
    recording.machine.pairing = pairing
    return recording
  }
}

extension LoadKind {
  static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}
