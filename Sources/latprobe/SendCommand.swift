// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Collecting
import Foundation
import Host
import Probing
import Recording
import Remote
import TestPackets
import Timing
import Traffic

struct SendCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "send",
    abstract: "Send test packets on a schedule, and record when each has left.",
    discussion: """
      The packets are those of a STAMP sender (RFC 8762); 'latprobe reflect' or any other STAMP reflector answers them. \
      Round trips are in the recording: of the device's clock or the kernel's, and from the time that a packet was to be \
      sent. If nobody answers, that is an error, unless --no-answers says that nobody is to. Where both ends say that \
      their clocks are \
      synchronised, or with --same-clock, each way has its delays. Each packet's time stamp comes back with the \
      packet, so that it joins what taps and hook points recorded of it. It is at 'wire-out', by the device's clock or the \
      kernel's, and says by which. Stamps that never came are counted as lost.

        latprobe send 10.0.0.2 --rate 1000 --duration 10s -o run1
        latprobe gate run1 --require 'stamp/round-trip p99 < 200us'

      Hardware time stamps:
        sudo latprobe send 10.0.0.2 --rate 10 --count 100 --timestamps hardware \\
          -o run1

      Together with the hook points of this machine:
        sudo latprobe record --topology host-nic --dev eth0 --session run2 -o hooks &
        sudo latprobe send 10.0.0.2 --duration 10s --session run2 -o sent
        latprobe report hooks sent
      """)

  @Argument(
    help: ArgumentHelp("Where to: a host or an address, [ADDRESS] with a port; port 862.", valueName: "host[:port]"))
  var peer: PeerArgument

  @Option(help: ArgumentHelp("Packets a second; with k, M or G: bits of Ethernet frames a second.", valueName: "rate"))
  var rate = RateArgument(packets: 100)

  @Option(help: "Between packets: constant, or random: uniform (0 to twice the mean) or exponential.")
  var interval = Pace.Interval.constant

  @Option(
    help: ArgumentHelp("Of random intervals; the same gives the same ones (default: a new one).", valueName: "number"))
  var seed: UInt64?

  @Option(help: ArgumentHelp("So many packets at once, the rate being the same.", valueName: "packets"))
  var burst: UInt64 = 1

  @OptionGroup var tuning: TuningOptions

  @Option(
    help: ArgumentHelp("Key shared with the reflector, at least 16 bytes: authenticated mode.", valueName: "file"))
  var key: String?

  @Option(
    help: ArgumentHelp(
      "UDP payload of a packet; default: 44, with --key 112. Less, down to 16, cuts the test packet: 18 make a frame of 64 bytes with IPv4.",
      valueName: "bytes"))
  var size: Int?

  private var payload: Int { size ?? (key == nil ? TestPacket.smallest : TestPacket.smallestAuthenticated) }
  private var least: Int { key == nil ? TestPacket.smallestCut : TestPacket.smallestAuthenticated }
  /// Packets a second.
  private var packetRate: Double { rate.packets(ofFrames: payload + (peer.host.contains(":") ? 62 : 42)) }

  @Option(help: "Stop after this many packets.")
  var count: UInt64?

  @Option(help: "Stop after this time: 10s, 500ms.")
  var duration: TimeArgument?

  @Option(
    help: ArgumentHelp(
      "hardware (the device's clock, or fail), kernel (the driver has the packet) or user (before the send call); default: the device's clock if it has one, else the kernel's.",
      valueName: "whose"))
  var timestamps: SenderOptions.Clock?

  @Flag(
    help: "The reflector runs under this kernel (namespace, container), by the same clock: record one-way delays too.")
  var sameClock = false

  @Flag(
    help: "The reflector numbers its answers by itself: say which way losses were, even where none was lost there.")
  var stateful = false

  @Flag(help: "There is no reflector: record when packets leave, and wait for no answers.")
  var noAnswers = false

  @Option(
    defaultAsFlag: TimeArgument(nanoseconds: 1_000_000), parsing: .next,
    help: ArgumentHelp(
      "Hand packets over so long before they are due (1ms), and have the device's queue send them (SO_TXTIME; fq or etf).",
      valueName: "lead"))
  var txtime: TimeArgument? = nil

  @Option(help: "Network namespace to send from: a name, a process id or a path.")
  var netns: String?

  @Option(
    help: ArgumentHelp("Name of the session, to join it with other recordings; default: a new one.", valueName: "name"))
  var session: String?

  @Option(help: "Bound of the recording on disk: 1G. The oldest streams are deleted and counted.")
  var maxSize: SizeArgument?

  @Option(name: .shortAndLong, help: ArgumentHelp("Directory for the recording.", valueName: "dir"))
  var output: String

  @Option(name: .customLong("label"), help: ArgumentHelp("Label of the run; may be repeated.", valueName: "key=value"))
  var labels: [LabelArgument] = []

  @Flag(help: "Replace a recording that is in DIR.")
  var force = false

  @OptionGroup var writing: WriteOptions

  func validate() throws {
    guard least...65507 ~= payload else {
      let reason = key == nil ? "" : ": authenticated packets cannot be cut"
      throw ValidationError("--size takes \(least) to 65507 bytes\(reason)")
    }
    guard 0.001...1_000_000 ~= packetRate else {
      let asked = rate.bits == nil ? "" : ": \(rate) in packets of this size are \(Int(packetRate)) a second"
      throw ValidationError("--rate takes 0.001 to 1000000 packets a second\(asked)")
    }
    guard 1...100_000 ~= burst else { throw ValidationError("--burst takes 1 to 100000 packets") }
    if seed != nil, interval == .constant { throw ValidationError("--seed goes with --interval") }
    if let txtime {
      guard 1000...5_000_000_000 ~= txtime.nanoseconds else { throw ValidationError("--txtime takes 1us to 5s") }
      guard timestamps ?? .kernel == .kernel else { throw ValidationError("--txtime goes with --timestamps kernel") }
    }
    if count == 0 { throw ValidationError("--count takes a number of packets from 1") }
    try maxSize.validateAsMaxSize()
    try session.validateAsSession()
  }

  func run() throws {
    writing.apply()
    let place = try RecordingPlace(output, force: force)
    var options = SenderOptions()
    options.namespace = try netns.map { try NetworkNamespace.named($0) }
    try options.namespace?.enter()
    options.clock = txtime == nil ? timestamps : .kernel
    options.lead = txtime?.nanoseconds
    options.isSameClock = sameClock
    options.isStateful = stateful
    options.expectsAnswers = !noAnswers
    options.size = payload
    let seed = seed ?? .random(in: 0...UInt64(UInt32.max))
    options.pace = Pace(rate: packetRate, interval: interval, burst: burst, seed: seed)
    options.tuning = tuning.thread
    options.key = try key.map { TestKey(bytes: try SharedKey.bytes(file: $0)) }
    options.recorder.duration = duration?.nanoseconds
    options.recorder.count = count
    options.recorder.writer.maxSize = maxSize?.bytes
    let target = try Destination(host: peer.host, port: peer.port)
    StopSignal.watch()
    var sender = try Sender(to: target, options: options) { Console.error("warning: \($0)") }
    let session = Session(
      id: session ?? UUID().uuidString.lowercased(), members: [sender.machine.name],
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
    if interval != .constant { Console.error("seed \(seed)") }
    Privileges.keep(tuning.fifo == nil ? [] : [.sysNice])
    try place.begin(session)
    Console.error(
      "sending to \(target.name), recording to \(output)" + (duration == nil && count == nil ? "; Ctrl-C stops" : ""))
    var last = RecordingProgress()
    let machine: Machine
    do {
      machine = try sender.run(
        session: session, directory: output, stopRequested: { StopSignal.name },
        progress: { progress in
          Console.live(Record.line(progress, since: last))
          last = progress
        })
    } catch {
      Console.endLive()
      if sender.sent == 0 { SendCommand.remove(output, sender.machine.name) }
      throw error
    }
    Console.endLive()
    if sender.sent == 0, let failure = sender.failure {
      SendCommand.remove(output, machine.name)
      throw TrafficError(failure)
    }
    for interface in machine.interfaces ?? [] {
      let clocks = interface.clocks.sorted { $0.key < $1.key }.map { "\($0.value) by \($0.key)" }
      Console.error(
        "\(interface.name): \(sender.sent) packets sent, time stamps "
          + (clocks.isEmpty ? "none" : clocks.joined(separator: ", ")))
    }
    for line in sender.findings { Console.error(line) }
    Console.error("stopped by \(machine.stoppedBy ?? "?"). Next: latprobe report \(output)")
    let complaints = sender.complaints
    if timestamps == .hardware, sender.deliveredNothing {
      throw TrafficError(complaints.joined(separator: "; "))
    }
    for complaint in complaints { Console.error("warning: \(complaint)") }
    if let failure = sender.failure {
      throw TrafficError("\(failure); what was measured is kept in \(output)")
    }
  }

  /// Nothing was sent: what was made for it is not to be in the way of the next try.
  private static func remove(_ output: String, _ machine: String) {
    let files = FileManager.default
    for path in ["\(output)/\(machine)", "\(output)/\(Session.fileName)"] { try? files.removeItem(atPath: path) }
    if (try? files.contentsOfDirectory(atPath: output))?.isEmpty == true { try? files.removeItem(atPath: output) }
  }
}

extension SenderOptions.Clock: ExpressibleByArgument {}
extension Pace.Interval: ExpressibleByArgument {}

/// `100`: packets a second; `10M`: bits a second.
struct RateArgument: ExpressibleByArgument, CustomStringConvertible {
  private var value: Double
  private var isBits = false
  let description: String

  init(packets: Double) { (value, description) = (packets, String(Int(packets))) }

  init?(argument: String) {
    let units = ["k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9]
    let unit = argument.last.flatMap { units[String($0)] }
    guard let number = Double(unit == nil ? argument : String(argument.dropLast())), number.isFinite, number > 0 else {
      UsageError.refuse(argument, "is no rate: 1000 is packets a second, 10M bits a second")
      return nil
    }
    (value, isBits, description) = (number * (unit ?? 1), unit != nil, argument)
  }

  /// Bits a second; nil for packets a second.
  var bits: Double? { isBits && value > 0 ? value : nil }

  /// - Parameter size: bytes of a frame, without its check sequence.
  func packets(ofFrames size: Int) -> Double { isBits ? value / Double(size * 8) : value }
}

/// `HOST`, `HOST:PORT`, `ADDRESS`, `[ADDRESS]:PORT`.
struct PeerArgument: ExpressibleByArgument {
  var host: String
  var port = TestPacket.port

  init?(argument: String) {
    guard argument.hasPrefix("[") || argument.count(where: { $0 == ":" }) == 1 else {
      host = argument
      if !host.isEmpty { return }
      UsageError.refuse(argument, "names no host: HOST, HOST:PORT or [IPV6-ADDRESS]:PORT")
      return nil
    }
    guard let match = argument.wholeMatch(of: /\[([^\]]+)\](:([0-9]+))?|([^:]+):([0-9]+)/),
      let name = match.1 ?? match.4
    else {
      UsageError.refuse(argument, "is no address: HOST, HOST:PORT or [IPV6-ADDRESS]:PORT")
      return nil
    }
    host = String(name)
    if let digits = match.3 ?? match.5 {
      guard let number = UInt16(digits), number > 0 else {
        UsageError.refuse(argument, "has no port: it is from 1 to 65535")
        return nil
      }
      port = number
    }
  }
}
