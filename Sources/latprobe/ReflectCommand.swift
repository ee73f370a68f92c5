// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Host
import Probing
import Remote
import TestPackets
import Traffic

struct ReflectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reflect",
    abstract: "Answer the test packets of 'latprobe send', or of any other STAMP sender.",
    discussion: """
      A STAMP reflector (RFC 8762): each answer says when the request came, by the kernel's clock, and when the answer \
      left, by this program's. With --stateful answers have numbers of their own, which tell the sender on which way \
      packets were lost. No answer is longer than its request, none goes to a port below 1024 or to an answer, and what \
      looks like a loop ends.

        sudo latprobe reflect --stateful --allow 10.0.0.0/8

      With authentication; packets without the right code are counted and not answered:
        (umask 077; openssl rand -hex 32 > key)
        sudo latprobe reflect --key key
      """)

  @Option(
    help: ArgumentHelp(
      "Where to listen: an address, [ADDRESS] with a port, or :PORT; default: everywhere, port 862.",
      valueName: "addr:port"))
  var listen: ListenArgument?

  @Flag(help: "Number answers by session, instead of giving the sender's number back.")
  var stateful = false

  @Option(help: ArgumentHelp("Key shared with senders, at least 16 bytes: authenticated mode.", valueName: "file"))
  var key: String?

  @Option(help: ArgumentHelp("Answer these addresses alone: 10.0.0.0/8; may be repeated.", valueName: "cidr"))
  var allow: [RangeArgument] = []

  @Option(help: ArgumentHelp("Most answers a second, to all together.", valueName: "pps"))
  var rateLimit = 100_000

  @Option(help: "Network namespace to listen in: a name, a process id or a path.")
  var netns: String?

  func validate() throws {
    guard 1...10_000_000 ~= rateLimit else {
      throw ValidationError("--rate-limit takes 1 to 10000000 packets a second")
    }
  }

  func run() throws {
    if let netns { try NetworkNamespace.named(netns).enter() }
    var options = ReflectorOptions()
    options.isStateful = stateful
    options.key = try key.map { TestKey(bytes: try SharedKey.bytes(file: $0)) }
    options.allowed = allow.map(\.range)
    options.rateLimit = Double(rateLimit)
    StopSignal.watch()
    var reflector = try Reflector(
      host: listen?.host, port: listen?.port ?? TestPacket.port, options: options)
    Privileges.keep([])
    Console.error("reflecting on \(listen?.host ?? "all addresses"), port \(reflector.port); Ctrl-C ends")
    defer { Console.error(reflector.counts.text) }
    try reflector.run { StopSignal.count > 0 }
  }
}

/// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT`, `:PORT`.
struct ListenArgument: ExpressibleByArgument {
  var host: String?
  var port: UInt16

  init?(argument: String) {
    if argument.hasPrefix(":"), let port = UInt16(argument.dropFirst()), port > 0 {
      (host, self.port) = (nil, port)
    } else {
      guard let peer = PeerArgument(argument: argument) else { return nil }
      (host, port) = (peer.host, peer.port)
    }
  }
}

struct RangeArgument: ExpressibleByArgument {
  var range: AddressRange

  init?(argument: String) {
    guard let range = AddressRange(argument) else {
      UsageError.refuse(argument, "is no range of addresses: 10.0.0.0/8, fd00::/8 or one address")
      return nil
    }
    self.range = range
  }
}
