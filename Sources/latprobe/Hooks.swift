// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import Host
import Probing
import Reporting
import Topology
import Wording

struct Hooks: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what each hook point of a topology resolves to on this kernel, and why something is absent.",
    discussion: """
      Without a name: the topologies there are.

        latprobe hooks
        sudo latprobe hooks veth
        sudo latprobe hooks ./my-topology.yaml --verbose
      """)

  @Argument(help: "Topology: a name or a file.")
  var topology: String?

  @Option(help: "Only this side: guest or host.")
  var side: Topology.Side?

  @Flag(help: "Print JSON.")
  var json = false

  @Flag(name: .shortAndLong, help: "Also show the candidates that were passed over.")
  var verbose = false

  func run() throws {
    let library = TopologyLibrary.standard(environment: ProcessInfo.processInfo.environment)
    guard let topology else { return try list(library) }
    let resolved = try library.load(topology).resolve(
      facts: try KernelFacts.live(),
      programs: try ProbeSet.programs(in: BPFObjectFile.find(executable: TopologyLibrary.executablePath())), side: side)
    if json {
      try Console.output(json: encoded(resolved))
    } else {
      try Console.output(resolved.table(verbose: verbose, width: Terminal.output.width))
      if let complaint = Capability.complaint { Console.error("note: \(complaint)") }
    }
    if resolved.hooks.contains(where: { $0.watch == .guestTap }) { nameWhatCannotBeFollowed() }
  }

  private func nameWhatCannotBeFollowed() {
    let links = (try? NetworkNamespace.current().links()) ?? []
    for guest in KVMGuest.all() {
      for way in GuestPath(guest, links: links).unfollowed {
        Console.error("note: guest \(guest.name) (\(guest.pid)) uses \(way), which cannot be followed yet")
      }
    }
  }

  private func list(_ library: TopologyLibrary) throws {
    struct Item: Encodable {
      var name: String
      var path: String
      var summary: String?
      var error: String?
    }
    let items = library.list().map { entry in
      do throws(TopologyError) {
        return Item(name: entry.name, path: entry.path, summary: try library.load(entry.path).summary)
      } catch {
        return Item(name: entry.name, path: entry.path, error: error.description)
      }
    }
    if let note = library.note { Console.error("note: \(note)") }
    if json { return try Console.output(json: encoded(items)) }
    let width = items.map(\.name.count).max() ?? 0
    for item in items {
      let name = item.name + String(repeating: " ", count: width - item.name.count)
      let lines = Words.hanging("\(name)  ", Text.plain(item.summary ?? item.error ?? ""), Terminal.output.width)
      try Console.output(lines.joined(separator: "\n") + "\n")
    }
    if items.isEmpty {
      throw KernelError("no topologies in \(library.directories.joined(separator: ", ")); set LATPROBE_PROBES")
    }
  }
}

/// JSON for standard output.
func encoded(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
}
