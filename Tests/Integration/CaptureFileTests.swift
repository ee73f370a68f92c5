// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// `latprobe tap --read`: what tcpdump and dumpcap captured on both ports of a bridge.
  @Suite struct CaptureFileTests {
    /// The times are those that another reader of the files finds, to the nanosecond.
    @Test func tcpdumpOnBothSides() throws {
      let bed = try Testbed()
      let dumps = try ["va", "vb"].map { try bed.dump(in: bed.bridge, $0, "udp port 5001") }
      let server = try bed.serve("receive", count: 53)
      try bed.send("counted", count: 53)
      #expect(try server.wait(limit: 10).status == 0)
      usleep(1_500_000)
      let (before, behind) = (try dumps[0].finish().packets, try dumps[1].finish().packets)
      #expect(before.count == 53)
      #expect(behind.count == 53)
      let output = try bed.latprobe("tap", "--read", dumps[0].path, dumps[1].path, "-o", bed.path("r"))
      #expect(output.status == 0, "\(output)")
      let session = try bed.load("r")
      let result = try analyse(session: session.session, recordings: session.machines)
      let segment = try result.segment("wire-in-wire-out", "wire")
      let expected = try before.map { packet in
        try #require(behind.first { $0.key == packet.key }).time - packet.time
      }
      #expect(segment.delays.count == 53)
      #expect(segment.delays.sorted() == expected.sorted())
      #expect(segment.starts.sorted() == before.map { UInt64($0.time) }.sorted())
      let report = try bed.report("r")
      #expect(try report.hook("wire-in").emitted == 53)
      #expect(report.warnings.isEmpty, "\(report.warnings)")
      let text = try bed.run("babeltrace2", bed.path("r"))
      #expect(text.split(separator: "\n").count { $0.contains("stamp_wire: ") } == 106)
    }

    /// dumpcap's pcapng with two interfaces and their statistics, compressed, through a pipe.
    @Test func dumpcapThroughAPipe() throws {
      let bed = try Testbed()
      let path = bed.path("both.pcapng")
      let dumpcap = try bed.start(
        in: bed.bridge, "dumpcap", "-q", "-f", "udp port 5001", "-i", "va", "-i", "vb", "-w", path)
      try dumpcap.expect("File: ")
      usleep(500_000)
      let server = try bed.serve("receive", count: 53)
      try bed.send("counted", count: 53)
      #expect(try server.wait(limit: 10).status == 0)
      usleep(1_000_000)
      dumpcap.signal(SIGINT)
      let captured = try dumpcap.wait(limit: 10)
      #expect(captured.status == 0, "\(captured)")
      for (name, packer) in [("plain", "cat"), ("gzip", "gzip"), ("zstd", "zstd -q")] {
        let output = try bed.attempt(
          "sh", "-c", "\(packer) <\(path) | \(Testbed.latprobe) tap --read - -o \(bed.path(name))")
        #expect(output.status == 0, "\(output)")
        let machine = try bed.load(name).only()
        #expect(machine.wireStamps.count == 106)
        let capture = try #require(machine.machine.captures?.first)
        #expect(capture.file == "standard input")
        #expect(capture.interfaces.map(\.name) == ["va", "vb"])
        #expect(capture.interfaces.map(\.packets) == [53, 53])
        #expect(capture.interfaces.map(\.drops) == [0, 0])
        #expect(try bed.report(name).segment("wire-in-wire-out", "wire").count == 53)
      }
    }

    /// Half a gigabyte from a small file, with less memory than that.
    @Test func aBombTakesNoMemory() throws {
      let bed = try Testbed()
      let script = """
        import struct, sys
        write = sys.stdout.buffer.write
        write(struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28))
        size = 8 << 20
        for _ in range(64):
            write(struct.pack("<II", 0x7777, size) + bytes(size - 12) + struct.pack("<I", size))
        """
      let path = bed.path("bomb.pcapng.zst")
      try bed.run("sh", "-c", "python3 -c '\(script)' | zstd -q >\(path)")
      let output = try bed.attempt(
        "sh", "-c",
        "ulimit -d 196608; exec \(Testbed.latprobe) tap --max-expansion 1000000 --read \(path) -o \(bed.path("r"))",
        limit: 120)
      #expect(output.status == 0, "\(output)")
      #expect(output.errors.contains("64 records skipped (unknown block)"), "\(output.errors)")
      #expect(output.errors.contains("no packet was stamped"), "\(output.errors)")
    }

    @Test func wrongFiles() throws {
      let bed = try Testbed()
      let out = bed.path("r")
      let text = bed.path("text.pcap")
      try "Hello, this is no capture at all.\n".write(toFile: text, atomically: true, encoding: .utf8)
      let empty = bed.path("empty.pcap")
      try "".write(toFile: empty, atomically: true, encoding: .utf8)
      for (arguments, exit, words) in [
        ([bed.path("none.pcap")], 1, ["none.pcap", "No such file"]), ([bed.folder.path], 1, ["Is a directory"]),
        ([text], 1, ["text.pcap: byte 0", "no capture", "editcap"]), ([empty], 1, ["empty.pcap", "is empty"]),
        ([text, text, text], 64, ["wire-in=FILE"]), (["-", "-"], 64, ["standard input"]), ([], 64, ["--read"]),
      ] as [([String], Int32, [String])] {
        let command = try bed.start([Testbed.latprobe, "tap", "-o", out, "--read"] + arguments)
        let output = try command.wait(limit: 10)
        #expect(output.status == exit, "\(output)")
        let line = String(output.errors.split(separator: "\n").first ?? "")
        #expect(line.hasPrefix("Error: "), "\(output.errors)")
        for word in words { #expect(line.contains(word), "\(line)") }
        #expect(!FileManager.default.fileExists(atPath: out))
      }
    }

    /// A capture that was cut off: its packets are kept, the exit code and one line tell.
    @Test func aTornFileIsKeptAsFarAsItGoes() throws {
      let bed = try Testbed()
      let dump = try bed.dump(in: bed.bridge, "va", "udp port 5001")
      let server = try bed.serve("receive", count: 5)
      try bed.send("counted", count: 5)
      #expect(try server.wait(limit: 10).status == 0)
      usleep(1_500_000)
      _ = try dump.finish()
      try bed.run("truncate", "-s", "-3", dump.path)
      let output = try bed.latprobe("tap", "--read", dump.path, "-o", bed.path("r"))
      #expect(output.status == 1)
      let line = String(output.errors.split(separator: "\n").last ?? "")
      #expect(line.hasPrefix("Error: \(dump.path): byte "), "\(output.errors)")
      #expect(line.contains("cut off"), "\(output.errors)")
      #expect(try bed.load("r").only().wireStamps.count == 4)
      let again = try bed.latprobe("tap", "--read", dump.path, "-o", bed.path("r"))
      #expect(again.status == 1)
      #expect(again.errors.contains("--force"), "\(again.errors)")
    }

    /// Pairs for which there is no room: whatever is said of the recording is so.
    @Test func pairsOnAFullDisk() throws {
      let bed = try Testbed()
      let (capture, disk) = (bed.path("echoes.pcap"), bed.path("disk"))
      let script = """
        import struct, sys
        write = sys.stdout.buffer.write
        write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101))
        for number in range(10000):
            for back in range(2):
                addresses = bytes([10, 0, 0, 1 + back, 10, 0, 0, 2 - back])
                icmp = struct.pack("!BBHHHI", 0 if back else 8, 0, 0, 7, number, number)
                ip = struct.pack("!BBHHHBBH", 0x45, 0, 32, 0, 0, 64, 1, 0) + addresses + icmp
                write(struct.pack("<IIII", 1700000000, number * 10000 + back * 5000, 32, 32) + ip)
        """
      try bed.run("sh", "-c", "python3 -c '\(script)' >\(capture)")
      try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
      for (size, isBegun) in [("64k", false), ("200k", true)] {
        try bed.run("mount", "-t", "tmpfs", "-o", "size=\(size)", "tmpfs", disk)
        defer { _ = try? bed.attempt("umount", disk) }
        let output = try bed.latprobe("pair", "--proto", "icmp", capture, "-o", "\(disk)/r")
        #expect(output.status == 1 && output.text.contains("10000 of 10000 requests"), "\(output)")
        let words = isBegun ? "those before are complete" : "nothing is recorded"
        #expect(output.errors.contains(words) && !output.errors.contains("--max-size"), "\(output.errors)")
        let gate = try bed.latprobe("gate", "\(disk)/r", "--require", "icmp p50 < 1s")
        #expect(gate.status == (isBegun ? 3 : 1), "\(gate)")
        if isBegun { #expect(gate.text.contains("INVALID") && gate.text.contains("disk full"), "\(gate)") }
      }
    }

    /// A name asked for twice would double all counts.
    @Test func twinsAreRefused() throws {
      let bed = try Testbed()
      let rule = bed.path("rule.yaml")
      try "format: 1\nname: dns\ntransport: udp\nports: [9000]\n".write(toFile: rule, atomically: true, encoding: .utf8)
      for arguments in [
        ["--proto", "dns,icmp,dns"], ["--rule", rule, "--rule", rule], ["--proto", "dns", "--rule", rule],
      ] {
        let command = try bed.start([Testbed.latprobe, "pair"] + arguments + [rule])
        let output = try command.wait(limit: 10)
        #expect(output.status == 64 && output.errors.hasPrefix("Error: 'dns' is asked for twice"), "\(output)")
      }
    }
  }
}
