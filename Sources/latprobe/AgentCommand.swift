// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import Host
import Probing
import Recording
import Remote
import Wording

struct AgentCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "agent",
    abstract: "Record in this guest when the host says so.",
    discussion: """
      Waits for 'latprobe record --guest URL' on the host: starts and stops together with it, answers its questions \
      about time, hands the recording over and deletes it here. One host and one recording at a time. The host \
      chooses what is stamped (topology by name, filter, sample, devices), never a path or a command.

      In a KVM guest with a vsock device (host: --guest vsock:CID):
        sudo latprobe agent vsock:

      Every user of the host can reach that, root or not; where it has several, give both sides the key as below.

      With a virtio-serial port of that name (host: --guest serial:SOCKET, the socket of QEMU's chardev):
        sudo latprobe agent serial:/dev/virtio-ports/latprobe

      Over a network, with a key that both sides have; frames are authenticated, not encrypted:
        (umask 077; openssl rand -hex 32 > key)
        sudo latprobe agent tcp:10.0.0.2:5211 --key-file key
      """)

  @Argument(help: ArgumentHelp("vsock:[:PORT], serial:PATH, tcp:ADDRESS[:PORT] or unix:PATH.", valueName: "listen-url"))
  var url: String

  @Option(help: ArgumentHelp("Key shared with the host, at least 16 bytes; needed for tcp.", valueName: "file"))
  var keyFile: String?

  @Option(
    help: ArgumentHelp(
      "Where recordings lie until the host has them. With four times --max-size there, no other is begun.",
      valueName: "dir"))
  var state = "/var/tmp"

  @Option(help: "Bound of a recording on disk (default: 1G). The oldest streams are deleted and counted.")
  var maxSize: SizeArgument?

  @Option(help: "How long recording goes on when the host is lost.")
  var grace = TimeArgument(nanoseconds: 10_000_000_000)

  @Option(
    name: .customLong("dev"),
    help: ArgumentHelp("Device to watch unless the host names one; may be repeated.", valueName: "if"))
  var devices: [String] = []

  @Option(
    name: .customLong("netns"), help: ArgumentHelp("Network namespace to watch; may be repeated.", valueName: "ns"))
  var namespaces: [String] = []

  func validate() throws {
    try maxSize.validateAsMaxSize()
    if try Endpoint(typed: url).needsKey, keyFile == nil {
      throw ValidationError("tcp needs --key-file: whoever reaches the port could record this machine's traffic")
    }
  }

  func run() throws {
    let endpoint = try Endpoint(typed: url)
    var options = AgentOptions()
    options.key = try keyFile.map { try SharedKey(file: $0) }
    // Now, and not only when a host asks.
    var isFolder: ObjCBool = false
    guard unsafe FileManager.default.fileExists(atPath: state, isDirectory: &isFolder), isFolder.boolValue else {
      throw RemoteError(.invalid, "--state \(state): there is no such directory")
    }
    try StateFolder.check(state)
    for name in namespaces {
      do { _ = try NetworkNamespace.named(name) } catch { Console.error("warning: \(error)") }
    }
    options.stateDirectory = state
    options.maxSize = maxSize?.bytes ?? options.maxSize
    options.grace = grace.nanoseconds
    options.release = Latprobe.version
    StopSignal.watch()
    let listener = try Listener(endpoint)
    // What it makes is for the host, and goes when the host has it.
    Invoker.ignore()
    // To attach, to go into namespaces, and to hear what changes there.
    Privileges.keep([.bpf, .perfmon, .sysAdmin, .netAdmin, .netBroadcast])
    Console.error("listening on \(endpoint); Ctrl-C ends")
    let door = Door(listener, key: options.key, release: options.release) { Console.error($0) }
    while StopSignal.count == 0 {
      guard let guest = try door.next(wait: 200) else { continue }
      let recorder = GuestRecorder(devices: devices, namespaces: namespaces)
      AgentSession(
        options: options, recorder: recorder, signals: { StopSignal.count },
        idle: { door.turnAway() }, say: { Console.error($0) }
      ).serve(guest)
    }
  }
}

extension Endpoint {
  /// What a person typed; wrong is how the command was called.
  init(typed text: String) throws {
    do { self = try Endpoint(text) } catch {
      let kind = String(text.prefix { $0 != ":" })
      let kinds = ["vsock", "serial", "tcp", "unix"]
      let meant = kinds.contains(kind) ? nil : Words.nearest(to: kind, among: kinds)
      throw ValidationError("\(error)" + (meant.map { "; did you mean '\($0):'?" } ?? ""))
    }
  }
}
