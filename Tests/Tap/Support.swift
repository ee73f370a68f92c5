// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Stamping
import Tap
import Testing

/// A directory of its own for each test; removed with its owner.
final class Scratch {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-tap-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file; returns its path.
  func put(_ name: String, _ bytes: [UInt8]) throws -> String {
    try Data(bytes).write(to: URL(filePath: "\(path)/\(name)"))
    return "\(path)/\(name)"
  }
}

/// What a reader made of a file.
struct Read {
  var packets: [CapturedPacket] = []
  var statistics = CaptureStatistics()
  var interfaces: [CaptureInterface] = []
  var error: CaptureError?

  /// All packets of a file; an error at its head or on the way is kept.
  init(_ path: String) {
    do throws(CaptureError) {
      let reader = try CaptureReader(path: path)
      do throws(CaptureError) {
        while let packet = try reader.next() { packets.append(packet) }
      } catch {
        self.error = error
      }
      statistics = reader.statistics
      interfaces = reader.interfaces
    } catch {
      self.error = error
    }
  }

  init(_ bytes: [UInt8]) throws {
    let scratch = try Scratch()
    self.init(try scratch.put("capture", bytes))
  }
}

/// Numbers as bytes, in either order.
struct Bytes {
  var bytes: [UInt8] = []
  var isBig = false

  init(big: Bool = false) { isBig = big }

  mutating func u8(_ value: UInt8) { bytes.append(value) }
  mutating func u16(_ value: UInt16) { add(value) }
  mutating func u32(_ value: UInt32) { add(value) }
  mutating func u64(_ value: UInt64) { add(value) }
  mutating func raw(_ more: [UInt8]) { bytes += more }

  private mutating func add<Value: FixedWidthInteger>(_ value: Value) {
    unsafe withUnsafeBytes(of: isBig ? value.bigEndian : value.littleEndian) { unsafe bytes.append(contentsOf: $0) }
  }
}

/// An Ethernet frame with UDP over IPv4: 42 bytes of headers, then the payload.
func udpFrame(id: UInt16, payload: [UInt8] = [1, 2, 3, 4]) -> [UInt8] {
  var frame = Bytes(big: true)
  frame.raw([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1])
  frame.u16(0x0800)
  frame.raw([0x45, 0])
  frame.u16(UInt16(28 + payload.count))
  frame.u16(id)
  frame.raw([0x40, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2])
  frame.u16(4000)
  frame.u16(5000)
  frame.u16(UInt16(8 + payload.count))
  frame.u16(0)
  frame.raw(payload)
  return frame.bytes
}

/// A test's program, its standard output and error.
struct Output {
  var status: Int32
  var text: String
  var errors: String
}

/// Runs a program of Debian's that `make deps` installs.
func run(_ program: String, _ arguments: String..., input: [UInt8] = []) throws -> Output {
  let scratch = try Scratch()
  let process = Process()
  process.executableURL = URL(filePath: "/usr/bin/env")
  process.arguments = [program] + arguments
  var files: [FileHandle] = []
  for name in ["out", "err"] {
    files.append(try #require(FileHandle(forWritingAtPath: try scratch.put(name, []))))
  }
  let standardInput: FileHandle = try #require(FileHandle(forReadingAtPath: try scratch.put("in", input)))
  process.standardInput = standardInput
  process.standardOutput = files[0]
  process.standardError = files[1]
  try process.run()
  process.waitUntilExit()
  func text(_ name: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(filePath: "\(scratch.path)/\(name)")), as: UTF8.self)
  }
  return Output(status: process.terminationStatus, text: try text("out"), errors: try text("err"))
}

/// A deterministic generator (SplitMix64), so that a failing case can be run again.
struct Seeded: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
