// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Testing
import VirtualLab

extension IntegrationSuites {
  /// `make install` in a tree that is built, as sudo runs it: without Swift on the PATH.
  @Suite struct InstallTests {
    private static let made = [
      "build/share/latprobe", "build/share/completions/latprobe", "build/share/completions/_latprobe",
      "build/share/completions/latprobe.fish", "build/share/man/latprobe.1", "build/share/man/latprobe.record.1",
      "build/bpf/latprobe.bpf.o",
    ]

    private let folder: URL

    init() throws {
      let name = "lpt\(getpid())-install\(UInt32.random(in: 0..<0xffff))"
      folder = FileManager.default.temporaryDirectory.appendingPathComponent(name)
      let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      try put("bpf/latprobe.bpf.c")
      try put("probes/veth.yaml")
      try FileManager.default.copyItem(
        at: here.appendingPathComponent("../../Makefile"), to: folder.appendingPathComponent("Makefile"))
    }

    private func put(_ name: String) throws {
      let file = folder.appendingPathComponent(name)
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(name.utf8).write(to: file)
    }

    private func install() throws -> Output {
      let arguments = [
        "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "make", "-C", folder.path, "install", "DESTDIR=root",
      ]
      return try Command(arguments, in: folder).wait(limit: 30)
    }

    @Test func copiesWhatIsBuilt() throws {
      defer { try? FileManager.default.removeItem(at: folder) }
      for name in Self.made { try put(name) }
      let output = try install()
      #expect(output.status == 0, "\(output.errors)")
      for (name, from) in [
        ("bin/latprobe", "build/share/latprobe"), ("lib/latprobe/latprobe.bpf.o", "build/bpf/latprobe.bpf.o"),
        ("share/latprobe/probes/veth.yaml", "probes/veth.yaml"),
        ("share/man/man1/latprobe.record.1", "build/share/man/latprobe.record.1"),
        ("share/zsh/site-functions/_latprobe", "build/share/completions/_latprobe"),
      ] {
        let file = folder.appendingPathComponent("root/usr/local/\(name)")
        #expect(try String(contentsOf: file, encoding: .utf8) == from)
      }
    }

    @Test func saysWhatIsNotBuilt() throws {
      defer { try? FileManager.default.removeItem(at: folder) }
      for name in Self.made where name != "build/share/man/latprobe.1" { try put(name) }
      let output = try install()
      #expect(output.status == 2 && output.errors.contains("no build/share/man/latprobe.1; run 'make' first"))
      #expect(!FileManager.default.fileExists(atPath: folder.appendingPathComponent("root").path))
    }
  }
}
