// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing
import Topology

@Suite struct LibraryTests {
  private static let minimal = """
    format: 1
    name: NAME
    summary: A test
    hooks:
      txg1: {side: guest, watch: guest-device, candidates: [{tracepoint: net_dev_queue}]}
      txg2: {side: guest, watch: guest-device, candidates: [{tracepoint: net_dev_start_xmit}]}
    paths: {tx: [txg1, txg2]}
    """

  /// Folders `one` and `two` with topologies, removed afterwards.
  private func withFolders(_ body: (URL) throws -> Void) throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }
    for (file, name) in [("one/a.yaml", "first"), ("two/a.yaml", "second"), ("two/b.yaml", "b")] {
      let url = root.appendingPathComponent(file)
      try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(LibraryTests.minimal.replacingOccurrences(of: "NAME", with: name).utf8).write(to: url)
    }
    try body(root)
  }

  private func message(_ library: TopologyLibrary, _ name: String) -> String? {
    do throws(TopologyError) {
      _ = try library.load(name)
      return nil
    } catch { return error.description }
  }

  @Test func theFirstFolderWins() throws {
    try withFolders { (root: URL) throws in
      let library = TopologyLibrary(directories: [root.path + "/one", root.path + "/none", root.path + "/two"])
      #expect(library.list().map(\.name) == ["a", "b"])
      #expect(library.list().map(\.path) == [root.path + "/one/a.yaml", root.path + "/two/b.yaml"])
      #expect(try library.load("a").name == "first")
      #expect(try library.load("b").name == "b")
      #expect(try library.load(root.path + "/two/a.yaml").name == "second")
    }
  }

  @Test func whatIsNotThereIsSaid() throws {
    try withFolders { (root: URL) throws in
      let one = root.path + "/one"
      #expect(
        message(TopologyLibrary(directories: [one]), "vth")
          == "vth: there is no topology of this name in \(one); there is a; or name a file (./FILE.yaml)")
      #expect(
        message(TopologyLibrary(directories: [one]), one + "/x.yaml")
          == "\(one)/x.yaml: cannot be read (no such file); check the path and its permissions")
      #expect(
        message(TopologyLibrary(directories: [one]), one)
          == "\(one): this is a directory; name a topology file (YAML)")
      #expect(
        message(TopologyLibrary(directories: [root.path]), "veth")?.contains("set LATPROBE_PROBES") == true)
      try Data([0xFF, 0xFE, 0x00]).write(to: root.appendingPathComponent("bytes.yaml"))
      #expect(
        message(TopologyLibrary(directories: [root.path]), "bytes")
          == "\(root.path)/bytes.yaml: this is not UTF-8 text; name a topology file (YAML)")
      try Data(repeating: 0x20, count: (1 << 20) + 1).write(to: root.appendingPathComponent("big.yaml"))
      #expect(
        message(TopologyLibrary(directories: [root.path]), "big")?.contains("larger than 1048576 bytes") == true)
      #expect(message(TopologyLibrary(directories: [root.path]), "./one")?.contains("cannot be read") == true)
    }
  }

  @Test func searchOrder() throws {
    #expect(
      TopologyLibrary.standard(
        environment: ["LATPROBE_PROBES": "/x:/y"], executable: "/opt/lp/bin/latprobe", isRoot: false
      ).directories == ["/x", "/y", "/opt/lp/share/latprobe/probes", "probes"])
    #expect(
      TopologyLibrary.standard(environment: [:], executable: nil, isRoot: false).directories == ["probes"])
    // The working directory may be another user's.
    #expect(TopologyLibrary.standard(environment: [:], executable: nil, isRoot: true).directories == [])
    try withFolders { (root: URL) throws in
      try Data().write(to: root.appendingPathComponent("Package.swift"))
      #expect(
        TopologyLibrary.standard(
          environment: [:], executable: root.path + "/.build/x86_64-unknown-linux-gnu/release/latprobe"
        ).directories.last == root.path + "/probes")
    }
    #expect(TopologyLibrary.executablePath()?.hasPrefix("/") == true)
  }
}
