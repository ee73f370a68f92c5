// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Testing
import VirtualLab

/// A pair, whichever way it was found.
struct FoundPair: Hashable {
  var name: String
  var start: Int64
  var end: Int64
  var last: Int64?
  var isRepeated: Bool
}

extension MachineRecording {
  var foundPairs: [FoundPair] {
    let names = machine.pairing?.names.map(\.name) ?? []
    return pairs.map {
      FoundPair(name: names[Int($0.name)], start: $0.start, end: $0.end, last: $0.last, isRepeated: $0.isRepeated)
    }
  }

  /// A count of the only protocol.
  func tally(_ name: String) -> Int { machine.pairing?.protocols.first?.counts[name]?.value ?? 0 }
}

extension Testbed {
  private static let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  static func fixture(_ name: String) -> String { sources.appendingPathComponent("Tests/Fixtures/\(name)").path }

  /// Where `make deps` unpacks services.
  static let services = sources.appendingPathComponent("build/services/root").path

  /// Folders of their libraries, `usr/lib/x86_64-linux-gnu` and the like.
  static let libraries = ["\(services)/usr/lib", "\(services)/lib"].flatMap { folder in
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.contains("-linux-gnu") }.map { "\(folder)/\($0)" }
  }

  /// A program of a package with services: unpacked by `make deps`, or installed.
  static func program(_ name: String) throws -> String {
    for folder in ["\(services)/usr/bin", "\(services)/usr/sbin", "/usr/bin", "/usr/sbin"] {
      let path = "\(folder)/\(name)"
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    throw TestbedError(description: "\(name) is missing: run `make deps`")
  }

  /// How to call a service's program.
  func service(_ name: String) throws -> [String] {
    ["env", "LD_LIBRARY_PATH=\(Testbed.libraries.joined(separator: ":"))", try Testbed.program(name)]
  }

  /// Starts a service in `b`; back once somebody listens on its port there.
  func serve(_ arguments: [String], port: Int, udp: Bool = false) throws {
    let server = try start(["ip", "netns", "exec", b] + arguments)
    for _ in 0..<500 {
      if try run("ip", "netns", "exec", b, "ss", udp ? "-lun" : "-ltn").contains(":\(port) ") { return }
      guard server.isRunning else { break }
      usleep(20_000)
    }
    throw TestbedError(description: "\(arguments) does not listen on port \(port): \(server.errors)")
  }

  func serveNames() throws {
    try serve(
      [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
        "--address=/test/10.1.2.3", "--listen-address=10.77.0.2", "--bind-interfaces", "--user=root", "--pid-file=",
      ], port: 53)
  }

  func serveMemcached() throws {
    try serve(try service("memcached") + ["-u", "root", "-l", "10.77.0.2", "-U", "11211"], port: 11_211)
  }

  func serveRedis() throws {
    // Debian's redis-tools has the server too: its name tells the program which of the tools it is.
    let server = path("redis-server")
    try FileManager.default.createSymbolicLink(
      atPath: server, withDestinationPath: try service("redis-check-rdb").last ?? "")
    try serve(
      [
        server, "--bind", "10.77.0.2", "--save", "", "--appendonly", "no", "--dir", folder.path, "--protected-mode",
        "no",
      ], port: 6_379)
  }

  /// Pairs on `eth0` of `b` while `traffic` passes. tcpdump captures it too, and its file must give the same pairs.
  ///
  /// - Parameter isTCP: a TCP segment from a veth pair carries its sender's time of departure in place of a stamp, so that
  ///   each packet socket takes a time of its own, one right after the other.
  func pairLive(_ kind: String, isTCP: Bool = false, _ traffic: () throws -> Void) throws -> MachineRecording {
    let filter = isTCP ? "tcp" : "udp or icmp"
    let dump = try dump(in: b, "eth0", filter, snap: 0)
    let live = try start([
      Testbed.latprobe, "pair", "--proto", kind, "--netns", b, "eth0", "--filter", filter, "-o", path("live"),
    ])
    try live.expect("pairing on eth0")
    try traffic()
    // tcpdump takes a block that is not full after a second.
    usleep(1_500_000)
    live.signal(SIGINT)
    let output = try live.wait(limit: 30)
    #expect(output.status == 0, "\(output.errors)")
    #expect(output.errors.contains(", dropped 0,"), "\(output.errors)")
    try dump.end()
    let file = try latprobe("pair", "--proto", kind, dump.path, "-o", path("file"))
    #expect(file.status == 0, "\(file.errors)")
    let (ours, theirs) = (try load("live").only(), try load("file").only())
    let (found, expected) = (ours.foundPairs, theirs.foundPairs)
    #expect(!found.isEmpty && found.count == expected.count)
    if isTCP {
      #expect(Testbed.names(found) == Testbed.names(expected))
      // In order, no two times are farther apart than a packet's two stamps.
      for times in [\FoundPair.start, \FoundPair.end] {
        let apart = zip(found.map { $0[keyPath: times] }.sorted(), expected.map { $0[keyPath: times] }.sorted())
          .map { abs($0 - $1) }.sorted()
        #expect(apart[apart.count / 2] < 20_000 && (apart.last ?? 0) < 100_000_000, "\(apart.suffix(5))")
      }
    } else {
      #expect(Set(found).symmetricDifference(expected).isEmpty)
    }
    #expect(ours.machine.pairing?.protocols == theirs.machine.pairing?.protocols)
    return ours
  }

  private static func names(_ pairs: [FoundPair]) -> [String: Int] {
    Dictionary(grouping: pairs) { "\($0.name) \($0.isRepeated)" }.mapValues(\.count)
  }
}
