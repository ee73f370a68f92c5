// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import Probing
import Recording
import Traffic

struct SendCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "send",
    abstract: "Send test packets on a schedule, and record when each has left.",
    discussion: """
      The packets are those of a STAMP sender (RFC 8762), so that a reflector answers them; answers are not needed. Each
      packet's time stamp comes back with the packet, so that it joins what taps and hook points recorded of it. It is at
      'wire-out', by the device's clock or the kernel's, and says by which. Stamps that never came are counted as lost.

        sudo latprobe send 10.0.0.2 --rate 10 --count 100 --timestamps hardware -o run1

      Together with the hook points of this machine:
        id=$(uuidgen)
        sudo latprobe record --topology host-nic --dev eth0 --session $id -o hooks &
        sudo latprobe send 10.0.0.2 --duration 10s --session $id -o sent
        latprobe report hooks sent
      """)

  @Argument(
    help: ArgumentHelp("Where to: a host or an address, [ADDRESS] with a port; port 862.", valueName: "host[:port]"))
  var peer: PeerArgument

  @Option(help: ArgumentHelp("Packets a second.", valueName: "pps"))
  var rate = 100.0

  @Option(help: ArgumentHelp("UDP payload of a packet, from 44.", valueName: "bytes"))
  var size = TestPacket.smallest

  @Option(help: "Stop after this many packets.")
  var count: UInt64?

  @Option(help: "Stop after this time: 10s, 500ms.")
  var duration: TimeArgument?

  @Option(
    help: ArgumentHelp(
      "hardware (the device's clock, or fail), kernel (the driver has the packet) or user (before the send call); default: the device's clock if it has one, else the kernel's.",
      valueName: "whose"))
  var timestamps: SenderOptions.Clock?

  @Option(help: "Network namespace to send from: a name, a process id or a path.")
  var netns: String?

  @Option(
    help: ArgumentHelp("Id of the session, to join it with other recordings; default: a new one.", valueName: "uuid"))
  var session: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("Directory for the recording.", valueName: "dir"))
  var output: String

  @Option(name: .customLong("label"), help: ArgumentHelp("Label of the run; may be repeated.", valueName: "key=value"))
  var labels: [LabelArgument] = []

  @Flag(help: "Replace a recording that is in DIR.")
  var force = false

  func validate() throws {
    guard 0.001...1_000_000 ~= rate else { throw ValidationError("--rate takes 0.001 to 1000000 packets a second") }
    guard TestPacket.smallest...65507 ~= size else {
      throw ValidationError("--size takes \(TestPacket.smallest) to 65507 bytes")
    }
    if count == 0 { throw ValidationError("--count takes a number of packets from 1") }
    if let session, !SessionID.isValid(session) {
      throw ValidationError("--session takes a UUID in lower case, as 'uuidgen' or session.json has it")
    }
  }

  func run() throws {
    if let netns { try NetworkNamespace.named(netns).enter() }
    var options = SenderOptions()
    options.clock = timestamps
    options.size = size
    options.rate = rate
    options.recorder.duration = duration?.nanoseconds
    options.recorder.count = count
    let target = try Peer(host: peer.host, port: peer.port)
    var sender = try Sender(to: target, options: options) { Console.error("warning: \($0)") }
    let session = Session(
      id: session ?? UUID().uuidString.lowercased(), members: [sender.machine.name],
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
    StopSignal.watch()
    try Session.prepare(directory: output, force: force)
    try session.write(to: output)
    Console.error(
      "sending to \(target.name), recording to \(output)" + (duration == nil && count == nil ? "; Ctrl-C stops" : ""))
    var last = RecordingProgress()
    let machine = try sender.run(
      session: session, directory: output, stopRequested: { StopSignal.name },
      progress: { progress in
        Console.live(Record.line(progress, since: last))
        last = progress
      })
    Console.endLive()
    for interface in machine.interfaces ?? [] {
      let clocks = interface.clocks.sorted { $0.key < $1.key }.map { "\($0.value) by \($0.key)" }
      Console.error(
        "\(interface.name): \(sender.sent) packets sent, time stamps "
          + (clocks.isEmpty ? "none" : clocks.joined(separator: ", "))
          + String(format: "; at most %.3f ms behind schedule", Double(sender.latest) / 1e6))
    }
    Console.error("stopped by \(machine.stoppedBy ?? "?"). Next: latprobe report \(output)")
    let complaints = sender.complaints
    if timestamps == .hardware, sender.deliveredNothing {
      throw TrafficError(complaints.joined(separator: "; "))
    }
    for complaint in complaints { Console.error("warning: \(complaint)") }
  }
}

extension SenderOptions.Clock: ExpressibleByArgument {}

/// `HOST`, `HOST:PORT`, `ADDRESS`, `[ADDRESS]:PORT`.
struct PeerArgument: ExpressibleByArgument {
  var host: String
  var port = TestPacket.port

  init?(argument: String) {
    guard argument.hasPrefix("[") || argument.count(where: { $0 == ":" }) == 1 else {
      host = argument
      if host.isEmpty { return nil }
      return
    }
    guard let match = argument.wholeMatch(of: /\[([^\]]+)\](:([0-9]+))?|([^:]+):([0-9]+)/),
      let name = match.1 ?? match.4
    else { return nil }
    host = String(name)
    if let digits = match.3 ?? match.5 {
      guard let number = UInt16(digits), number > 0 else { return nil }
      port = number
    }
  }
}
