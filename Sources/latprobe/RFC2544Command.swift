// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import Host
import Probing
import RFC2544
import Recording
import Remote
import Reporting
import TestPackets
import Wording

struct RFC2544Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rfc2544",
    abstract: "Find the highest rate without loss, the latency at it, loss by rate, and the longest burst.",
    discussion: """
      The measurements of RFC 2544 between this machine and 'latprobe reflect', for frames of several sizes: packets go \
      there and back, and loss on either way counts. Short trials look for the rate; long ones confirm it, lower it if they \
      lose a packet, and go back up where that was too far. Where this machine does not send what a trial asks for, that \
      is said, and is no loss. Ctrl-C keeps what was done; the exit code is then 3. Frames below 84 bytes (IPv6: 104) need a reflector without --stateful.

        latprobe reflect --rate-limit 10000000                      # on 10.0.0.2
        sudo latprobe rfc2544 10.0.0.2 --line-rate 1G -o run1

      A quick look:
        sudo latprobe rfc2544 10.0.0.2 --sizes 512 --trial 5s --repeat 2 \\
          --measure throughput -o run2
      """)

  @Argument(
    help: ArgumentHelp(
      "The reflector: a host or an address, [ADDRESS] with a port; port 862.", valueName: "host[:port]"))
  var peer: PeerArgument

  @Option(
    help: ArgumentHelp(
      "Frame sizes with check sequence, joined by commas; those too small for a test packet (below 82 with IPv6, 158 or 178 with --key) are made larger.",
      valueName: "bytes"))
  var sizes = "64,128,256,512,1024,1280,1518"

  @Option(
    help: ArgumentHelp("throughput, loss-curve, back-to-back, joined by commas; default: all.", valueName: "what"))
  var measure: String?

  @Option(
    help: ArgumentHelp("Speed of the line, where rates begin: 1G; default: the device's.", valueName: "bits/s"))
  var lineRate: RateArgument?

  @Option(help: "Length of the trials that confirm.")
  var trial = TimeArgument(nanoseconds: 60_000_000_000)

  @Option(name: .customLong("repeat"), help: ArgumentHelp("Trials that confirm.", valueName: "times"))
  var repeats = 10

  @Option(help: "Length of the trials that search, and of those of the loss curve.")
  var searchTrial = TimeArgument(nanoseconds: 2_000_000_000)

  @Option(help: ArgumentHelp("How far below the limit a result may be.", valueName: "percent"))
  var resolution = PercentArgument(0.5)

  @Option(
    help: ArgumentHelp("Share of the packets that may be lost; RFC 2544 knows 0 alone.", valueName: "percent"))
  var acceptLoss = PercentArgument(0)

  @Option(
    help:
      "A trial with loss in which packets left later than this, and most were lost behind them, is done again, twice at most."
  )
  var longestStall = TimeArgument(nanoseconds: 10_000_000)

  @Option(help: "Packets at the rate before a trial that are not counted.")
  var warmUp = TimeOrZeroArgument(nanoseconds: 100_000_000)

  @Option(
    help:
      "Before each trial but bursts, packets at the highest rate for this long, not counted, so that buckets on the way are empty and queues full."
  )
  var drain = TimeOrZeroArgument(nanoseconds: 0)

  @Option(help: "How long answers to the last packets may take.")
  var wait = TimeArgument(nanoseconds: 2_000_000_000)

  @Option(help: "Rest between trials.")
  var pause = TimeOrZeroArgument(nanoseconds: 5_000_000_000)

  @OptionGroup var tuning: TuningOptions

  @Option(
    help: ArgumentHelp("Key shared with the reflector, at least 16 bytes: authenticated mode.", valueName: "file"))
  var key: String?

  @Option(help: "Network namespace to send from: a name, a process id or a path.")
  var netns: String?

  @Option(
    name: .shortAndLong, help: ArgumentHelp("Directory for the trials, the results and the plots.", valueName: "dir"))
  var output: String

  @Flag(help: "Replace results that are in DIR.")
  var force = false

  @OptionGroup var writing: WriteOptions

  private func frames() throws -> [Int] {
    try sizes.split(separator: ",", omittingEmptySubsequences: false).map { text in
      guard let size = Int(text), 64...65_553 ~= size else {
        throw ValidationError("--sizes takes frames of 64 to 65553 bytes, not '\(text)'")
      }
      return size
    }
  }

  private func measurements() throws -> Set<Benchmark.Measurement> {
    guard let measure else { return Set(Benchmark.Measurement.allCases) }
    return Set(
      try measure.split(separator: ",").map { name in
        guard let kind = Benchmark.Measurement(rawValue: String(name)) else {
          let names = Benchmark.Measurement.allCases.map(\.rawValue)
          throw ValidationError("there is no measurement '\(name)'; " + Words.choice(of: String(name), among: names))
        }
        return kind
      })
  }

  func validate() throws {
    guard try !frames().isEmpty else { throw ValidationError("--sizes takes a frame size at least") }
    guard try !measurements().isEmpty else { throw ValidationError("--measure takes a measurement at least") }
    guard 1...1000 ~= repeats else { throw ValidationError("--repeat takes a number from 1 to 1000") }
    guard 0.01...20 ~= resolution.percent else { throw ValidationError("--resolution takes 0.01 to 20 percent") }
    guard 0...50 ~= acceptLoss.percent else { throw ValidationError("--accept-loss takes 0 to 50 percent") }
    let lengths = [trial, searchTrial].map(\.nanoseconds)
    guard lengths.allSatisfy({ 100_000_000...3_600_000_000_000 ~= $0 }) else {
      throw ValidationError("--trial and --search-trial take 100ms to 1h")
    }
    let rests = [warmUp.nanoseconds, drain.nanoseconds, wait.nanoseconds, pause.nanoseconds]
    guard rests.allSatisfy({ $0 <= 60_000_000_000 }) else {
      throw ValidationError("--warm-up, --drain, --wait and --pause take 1m at most")
    }
    if let lineRate {
      guard let bits = lineRate.bits, 1e3...1e13 ~= bits else {
        throw ValidationError("--line-rate takes 1k to 10000G bits a second, such as 100M or 1G")
      }
    }
  }

  func run() throws {
    writing.apply()
    Drawer.shared.start()
    if let netns { try NetworkNamespace.named(netns).enter() }
    if !force, FileManager.default.fileExists(atPath: output + "/trials.csv") {
      throw TrafficError("\(output): there are results already; give another -o, or --force")
    }
    let target = try Destination(host: peer.host, port: peer.port)
    var runner = TrialRunner(to: target)
    runner.tuning = tuning.thread
    runner.key = try key.map { TestKey(bytes: try SharedKey.bytes(file: $0)) }
    (runner.acceptedLoss, runner.warmUp, runner.patience) = (acceptLoss.fraction, warmUp.nanoseconds, wait.nanoseconds)
    (runner.drain, runner.longestStall) = (drain.nanoseconds, longestStall.nanoseconds)
    var benchmark = Benchmark()
    benchmark.measurements = try measurements()
    benchmark.trial = Double(trial.nanoseconds) / 1e9
    benchmark.searchTrial = Double(searchTrial.nanoseconds) / 1e9
    (benchmark.repeats, benchmark.resolution) = (repeats, resolution.fraction)
    let rate = try rate(to: target)
    StopSignal.watch()
    // Each trial's socket has room for more answers than the system's limit allows.
    Privileges.keep(tuning.fifo == nil ? [.netAdmin] : [.netAdmin, .sysNice])
    var trials: [Trial] = []
    var results: [FrameResult] = []
    var failure: (any Error)?
    do {
      let sizes = try possible(try frames(), target)
      for (number, frame) in sizes.enumerated() {
        guard let warnings = try runner.learn(frame: frame, stopRequested: { StopSignal.name != nil }) else {
          throw Stopped()
        }
        if number == 0 { for warning in warnings { Console.error("warning: \(warning)") } }
      }
      Console.error(estimate(benchmark, sizes: sizes.count))
      if force { try Report.removeResults(in: output) }
      for frame in sizes {
        let done = results
        let result = try benchmark.run(frame: frame, lineRate: rate, progress: { results = done + [$0] }) { plan in
          if !trials.isEmpty { rest() }
          guard StopSignal.name == nil,
            let trial = try runner.run(plan, stopRequested: { StopSignal.name != nil })
          else { throw Stopped() }
          Console.error(RFC2544Command.line(trial))
          trials.append(trial)
          // At once: whatever happens later, what was measured is kept.
          try Report.writeTrials(trials, to: output)
          // All is lost: is there anybody left?
          if trial.sent > 0, trial.answered == 0,
            try runner.learn(frame: frame, stopRequested: { StopSignal.name != nil }) == nil
          {
            throw Stopped()
          }
          return trial
        }
        results = done + [result]
      }
    } catch {
      failure = error
    }
    if !results.isEmpty {
      let conditions =
        "to \(target.name)  ·  line \(Report.lineRate(rate))  ·  \(repeats) trials of \(trial)  ·  accepted loss \(acceptLoss) %"
      for line in try Report.write(results, conditions: conditions, to: output) {
        Console.error("warning: \(line)")
      }
      try Console.output(
        Report.table(
          results, acceptedLoss: acceptLoss.fraction,
          measured: (
            benchmark.measurements.contains(.throughput), benchmark.measurements.contains(.backToBack)
          ), terminal: .output))
      Console.error("trials and plots in \(output)")
    }
    if failure is Stopped {
      Console.error("stopped by \(StopSignal.name ?? "?"): what was done is above; what was not is not known")
      throw ExitCode(3)
    }
    if let failure, !trials.isEmpty { throw TrafficError("after \(trials.count) trials, which are kept: \(failure)") }
    if let failure { throw failure }
  }

  private struct Stopped: Error {}

  /// Between trials, or until a signal.
  private func rest() {
    let end = ContinuousClock.now + .nanoseconds(pause.nanoseconds)
    while StopSignal.name == nil, case let left = end - .now, left > .zero {
      usleep(UInt32(min(left, .milliseconds(50)) / .microseconds(1)))
    }
  }

  private func estimate(_ benchmark: Benchmark, sizes: Int) -> String {
    // A sending thread is ready, and the path warm.
    let overhead = Double(pause.nanoseconds + max(150_000_000, drain.nanoseconds) + warmUp.nanoseconds) / 1e9
    let seconds = benchmark.estimate(overhead: overhead)
    func text(_ seconds: Double) -> String {
      let whole = Int((seconds * Double(sizes)).rounded(.up))
      if whole < 120 { return "\(whole) s" }
      let minutes = (whole + 59) / 60
      return minutes < 120 ? "\(minutes) min" : "\(minutes / 60) h \(minutes % 60) min"
    }
    return "\(sizes) frame size\(sizes == 1 ? "" : "s"): \(text(seconds.lowerBound)) without loss, "
      + "about \(text(seconds.upperBound)) with it; longer where confirmations fail. Ctrl-C keeps what was done"
  }

  /// Bits a second of the line.
  private func rate(to target: Destination) throws -> Double {
    if let bits = lineRate?.bits { return bits }
    let device = try target.device()
    guard let speed = try target.speed() else {
      throw TrafficError("\(device): its driver does not say how fast it is; give --line-rate, such as 1G")
    }
    Console.error("\(device): \(speed) Mbit/s by its driver")
    return Double(speed) * 1e6
  }

  /// Sizes that hold a test packet, each once.
  private func possible(_ frames: [Int], _ target: Destination) throws -> [Int] {
    let payload = key == nil ? TestPacket.smallestCut : TestPacket.smallestAuthenticated
    let smallest = payload + TrialRunner.overhead(isIPv6: target.isIPv6)
    var sizes: [Int] = []
    for frame in frames {
      if frame < smallest {
        Console.error("warning: a frame of \(frame) bytes is too small for a test packet: \(smallest) instead")
      }
      let size = max(frame, smallest)
      if !sizes.contains(size) { sizes.append(size) }
    }
    return sizes
  }

  private static func line(_ trial: Trial) -> String {
    let what = trial.purpose.isBurst ? "burst of \(trial.due)" : "\(Int(trial.rate.rounded())) packets/s"
    let outcome =
      switch trial.verdict {
      case .clean where trial.lost > 0: "\(trial.lost) of \(trial.sent) lost, accepted"
      case .clean: trial.unsent == 0 ? "no loss" : "no loss; \(trial.unsent) of \(trial.due) not sent"
      case .lossy where trial.isWorthRepeating:
        "\(trial.lost) of \(trial.sent) lost, most behind a stall of this machine"
      case .lossy: "\(trial.lost) of \(trial.sent) lost"
      case .uneven:
        "\(trial.lost) of \(trial.sent) lost, but this machine stalled for \(Words.duration(trial.lateness?.max ?? 0))"
      case .notOffered where trial.ownDrops > 0: "not offered: this machine dropped \(trial.ownDrops) answers itself"
      case .notOffered where trial.refused > 0:
        "not offered: \(trial.sent) of \(trial.due) sent; \(trial.refused) refused by this machine: \(unsafe String(cString: strerror(trial.refusal)))"
      case .notOffered: "not offered: \(trial.sent) of \(trial.due) sent"
      }
    let clock = trial.clockSteps > 0 ? "; no latency: this machine's clock was set meanwhile" : ""
    return "\(trial.frame) bytes, \(trial.purpose.rawValue), \(what): \(outcome)\(clock)"
  }
}
