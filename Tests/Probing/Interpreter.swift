// SPDX-License-Identifier: GPL-2.0-or-later
import Host
import Probing

/// Runs the eBPF that a filter is translated to, with the kernel's meaning of each instruction (RFC 9669).
///
/// As `lp_filter(frame, readable, length)`: r1 is the frame's address, r2 the readable bytes, r3 the packet's length.
/// Stricter than the machine where the verifier is: reads of what was never written, outside the frame or the stack,
/// or of a word that is not aligned, are faults.
struct Interpreter {
  struct Fault: Error, CustomStringConvertible { var description: String }

  private static let frameBase: UInt64 = 0x1000_0000
  private static let stackTop: UInt64 = 0x2000_0000
  private static let stackBytes = 512

  /// The frame's buffer is always this long, as in the kernel; only the first bytes of it mean something.
  private let frame: [UInt8]
  private var stack = [UInt8?](repeating: nil, count: stackBytes)
  private var registers = [UInt64?](repeating: nil, count: 11)

  init(frame: [UInt8]) {
    let room = Filter.visibleBytes
    self.frame = frame.prefix(room) + [UInt8](repeating: 0xa5, count: max(0, room - frame.count))
  }

  static func run(_ body: [BPFInstruction], frame: [UInt8], length: Int) throws(Fault) -> UInt64 {
    var machine = Interpreter(frame: frame)
    machine.registers[1] = frameBase
    machine.registers[2] = UInt64(min(frame.count, Filter.visibleBytes))
    machine.registers[3] = UInt64(length)
    machine.registers[10] = stackTop
    return try machine.run(body)
  }

  private func value(_ register: UInt8) throws(Fault) -> UInt64 {
    guard let value = registers[Int(register)] else { throw Fault(description: "r\(register) was never written") }
    return value
  }

  private mutating func run(_ body: [BPFInstruction]) throws(Fault) -> UInt64 {
    // The function's marker and slots, then its exit.
    let end = 1 + 1024
    var at = 0
    while at != end {
      guard at >= 0, at < end else { throw Fault(description: "jump to \(at)") }
      // Slots that the body does not fill jump to the next.
      guard at < body.count else { at += 1; continue }
      let next = try step(body[at], at)
      guard next > at else { throw Fault(description: "\(at) jumps back to \(next)") }
      at = next
    }
    return try value(0)
  }

  private mutating func step(_ i: BPFInstruction, _ at: Int) throws(Fault) -> Int {
    switch i.code & 0x07 {
    case 0x07: try set(i.destination, alu(i, width: 64))
    case 0x04: try set(i.destination, alu(i, width: 32))
    case 0x05, 0x06: if try isTaken(i) { return at + 1 + Int(i.offset) }
    case 0x01: try set(i.destination, load(i))
    case 0x03: try store(i)
    default: throw Fault(description: "opcode \(i.code)")
    }
    return at + 1
  }

  private mutating func set(_ register: UInt8, _ value: UInt64) throws(Fault) {
    guard register < 10 else { throw Fault(description: "r\(register) cannot be written") }
    registers[Int(register)] = value
  }

  private func operand(_ i: BPFInstruction) throws(Fault) -> UInt64 {
    i.code & 0x08 != 0 ? try value(i.source) : UInt64(bitPattern: Int64(i.immediate))
  }

  private func alu(_ i: BPFInstruction, width: Int) throws(Fault) -> UInt64 {
    let operation = i.code & 0xf0
    let right = operation == 0x80 ? 0 : try operand(i)
    let left = operation == 0xb0 ? 0 : try value(i.destination)
    if width == 64 { return try alu(operation, left, right, mask: 63) }
    return UInt64(try alu(operation, UInt32(truncatingIfNeeded: left), UInt32(truncatingIfNeeded: right), mask: 31))
  }

  private func alu<T: FixedWidthInteger & UnsignedInteger>(
    _ operation: UInt8, _ left: T, _ right: T, mask: T
  ) throws(Fault) -> T {
    switch operation {
    case 0x00: left &+ right
    case 0x10: left &- right
    case 0x20: left &* right
    case 0x30: right == 0 ? 0 : left / right
    case 0x40: left | right
    case 0x50: left & right
    case 0x60: left << (right & mask)
    case 0x70: left >> (right & mask)
    case 0x80: 0 &- left
    case 0x90: right == 0 ? left : left % right
    case 0xa0: left ^ right
    case 0xb0: right
    default: throw Fault(description: "operation \(operation)")
    }
  }

  private func isTaken(_ i: BPFInstruction) throws(Fault) -> Bool {
    if i.code == 0x05 { return true }
    var left = try value(i.destination)
    var right = try operand(i)
    if i.code & 0x07 == 0x06 { (left, right) = (left & 0xffff_ffff, right & 0xffff_ffff) }
    switch i.code & 0xf0 {
    case 0x10: return left == right
    case 0x20: return left > right
    case 0x30: return left >= right
    case 0x40: return left & right != 0
    case 0x50: return left != right
    case 0xa0: return left < right
    case 0xb0: return left <= right
    default: throw Fault(description: "jump \(i.code)")
    }
  }

  private static func size(_ code: UInt8) -> Int { [4, 2, 1, 8][Int(code >> 3 & 3)] }

  private func load(_ i: BPFInstruction) throws(Fault) -> UInt64 {
    let address = try value(i.source) &+ UInt64(bitPattern: Int64(i.offset))
    let size = Interpreter.size(i.code)
    var result: UInt64 = 0
    for index in 0..<size { result |= UInt64(try byte(at: address &+ UInt64(index), size)) << (8 * index) }
    return result
  }

  private func byte(at address: UInt64, _ size: Int) throws(Fault) -> UInt8 {
    if address >= Interpreter.frameBase, address < Interpreter.frameBase + UInt64(frame.count) {
      guard size == 1 else { throw Fault(description: "a word of the frame may lie unaligned") }
      return frame[Int(address - Interpreter.frameBase)]
    }
    guard let byte = stack[try stackIndex(address)] else {
      throw Fault(description: "stack read before it was written")
    }
    return byte
  }

  private func stackIndex(_ address: UInt64) throws(Fault) -> Int {
    let bottom = Interpreter.stackTop - UInt64(Interpreter.stackBytes)
    guard address >= bottom, address < Interpreter.stackTop else {
      throw Fault(description: "access to \(String(address, radix: 16))")
    }
    return Int(address - bottom)
  }

  private mutating func store(_ i: BPFInstruction) throws(Fault) {
    let address = try value(i.destination) &+ UInt64(bitPattern: Int64(i.offset))
    let size = Interpreter.size(i.code)
    guard address % UInt64(size) == 0 else { throw Fault(description: "store that is not aligned") }
    let value = try value(i.source)
    for index in 0..<size {
      stack[try stackIndex(address + UInt64(index))] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
    }
  }
}
