// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI
package import Host

/// An instruction of eBPF, as in `struct bpf_insn` of the kernel.
package struct BPFInstruction: Sendable, Equatable {
  package var code: UInt8
  package var destination: UInt8
  package var source: UInt8
  package var offset: Int16
  package var immediate: Int32

  package init(_ code: UInt8, _ destination: UInt8 = 0, _ source: UInt8 = 0, offset: Int16 = 0, immediate: Int32 = 0) {
    self.code = code
    self.destination = destination
    self.source = source
    self.offset = offset
    self.immediate = immediate
  }

  /// 8 bytes, little-endian.
  package var bytes: [UInt8] {
    let offset = UInt16(bitPattern: offset)
    let immediate = UInt32(bitPattern: immediate)
    return [
      code, source << 4 | destination, UInt8(truncatingIfNeeded: offset), UInt8(offset >> 8),
      UInt8(truncatingIfNeeded: immediate), UInt8(truncatingIfNeeded: immediate >> 8),
      UInt8(truncatingIfNeeded: immediate >> 16), UInt8(immediate >> 24),
    ]
  }
}

/// Translates classic BPF to the body of `lp_filter()` in `bpf/include/core.h`.
///
/// Registers: r6 = A, r7 = X, r8 = frame, r9 = readable bytes; the packet's length lies at r10−8, the
/// scratch cells M[i] at r10−16−8i. Every load is checked against the readable bytes; a load beyond them
/// leaves the packet out, as in classic BPF. Frame bytes are loaded one by one, since a frame on the BPF
/// stack must not be read unaligned. Opcodes: linux/filter.h and Documentation/bpf/standardization.
package struct FilterTranslation {
  private static let a: UInt8 = 6
  private static let x: UInt8 = 7
  private static let frame: UInt8 = 8
  private static let readable: UInt8 = 9

  private enum Label { case step(Int), reject, rest, end }

  private var output: [BPFInstruction] = []
  private var jumps: [(at: Int, to: Label)] = []

  /// The instructions that take the place of marker and slots; falls through to the function's `exit`.
  package static func body(of filter: Filter) throws(FilterError) -> [BPFInstruction] {
    var translation = FilterTranslation()
    return try translation.translate(filter)
  }

  private mutating func emit(
    _ code: UInt8, _ destination: UInt8 = 0, _ source: UInt8 = 0, offset: Int16 = 0, _ immediate: Int32 = 0
  ) {
    output.append(BPFInstruction(code, destination, source, offset: offset, immediate: immediate))
  }

  private mutating func jump(
    _ code: UInt8, _ destination: UInt8 = 0, _ source: UInt8 = 0, _ immediate: Int32 = 0, to label: Label
  ) {
    jumps.append((output.count, label))
    emit(code, destination, source, immediate)
  }

  private mutating func translate(_ filter: Filter) throws(FilterError) -> [BPFInstruction] {
    let end = 1 + Int(LP_FILTER_SLOTS)
    emit(0xbf, Self.frame, 1)
    emit(0xbf, Self.readable, 2)
    emit(0x7b, 10, 3, offset: -8)
    emit(0xb4, Self.a)
    emit(0xb4, Self.x)
    // Never taken, which the verifier sees: it wants the slots that are left to be reachable, and older ones need
    // minutes if many paths walk through them.
    jump(0x55, Self.a, to: .rest)
    jump(0x15, Self.readable, to: .reject)  // also makes the rejecting tail reachable in every filter
    var starts: [Int] = []
    for (index, step) in filter.steps.enumerated() {
      starts.append(output.count)
      try translate(step, at: index, of: filter)
    }
    let reject = output.count
    emit(0xb7, 0)
    jump(0x05, to: .end)
    let rest = output.count
    guard output.count <= end else {
      throw FilterError(
        description: "filter '\(filter.expression)' is too long: \(output.count) instructions of \(end); simplify it")
    }
    for (at, label) in jumps {
      let target =
        switch label {
        case .step(let index): starts[index]
        case .reject: reject
        case .rest: rest
        case .end: end
        }
      output[at].offset = Int16(target - at - 1)
    }
    return output
  }

  private mutating func translate(_ step: Filter.Step, at index: Int, of filter: Filter) throws(FilterError) {
    let size = step.code & 0x18 == 0x00 ? 4 : step.code & 0x18 == 0x08 ? 2 : 1
    let k = Int32(bitPattern: step.k)
    switch (step.code & 0x07, step.code) {
    case (0, 0x20), (0, 0x28), (0, 0x30):  // A = P[k:size]
      try load(Self.a, at: step.k, size, filter)
    case (0, 0x40), (0, 0x48), (0, 0x50):  // A = P[X+k:size]
      guard step.k < Filter.visibleBytes else { throw tooFar(step.k, size, filter) }
      jump(0x26, Self.x, 0, Int32(Filter.visibleBytes), to: .reject)  // before X + k could wrap around
      emit(0xbc, 1, Self.x)
      emit(0x04, 1, 0, k)
      jump(0x25, 1, 0, Int32(Filter.visibleBytes - size), to: .reject)
      emit(0xbf, 2, 1)
      emit(0x07, 2, 0, Int32(size))
      jump(0x2d, 2, Self.readable, to: .reject)
      emit(0x0f, 1, Self.frame)
      bytes(into: Self.a, from: 1, offset: 0, size)
    case (0, 0x00): emit(0xb4, Self.a, 0, k)
    case (1, 0x01): emit(0xb4, Self.x, 0, k)
    case (0, 0x80): emit(0x79, Self.a, 10, offset: -8)
    case (1, 0x81): emit(0x79, Self.x, 10, offset: -8)
    case (0, 0x60): emit(0x79, Self.a, 10, offset: cell(step.k))
    case (1, 0x61): emit(0x79, Self.x, 10, offset: cell(step.k))
    case (1, 0xb1):  // X = 4 * (P[k:1] & 15)
      try load(Self.x, at: step.k, 1, filter)
      emit(0x54, Self.x, 0, 15)
      emit(0x64, Self.x, 0, 2)
    case (2, _): emit(0x7b, 10, Self.a, offset: cell(step.k))
    case (3, _): emit(0x7b, 10, Self.x, offset: cell(step.k))
    case (4, 0x84): emit(0x84, Self.a)
    case (4, _):
      let operation = UInt8(step.code & 0xf0)
      let byX = step.code & 0x08 != 0
      if byX, operation == 0x30 || operation == 0x90 { jump(0x16, Self.x, to: .reject) }
      if byX, operation == 0x60 || operation == 0x70 {
        // Classic BPF shifts all bits out; eBPF would shift by X mod 32.
        emit(0xa6, Self.x, 0, offset: 1, 32)
        emit(0xb4, Self.a)
      }
      emit(0x04 | operation | (byX ? 0x08 : 0), Self.a, byX ? Self.x : 0, byX ? 0 : k)
    case (5, 0x05):
      // Only `protochain` jumps back (a negative k): a loop, which the verifier would have to unroll.
      guard Int(step.k) < filter.steps.count - index - 1 else {
        throw FilterError(
          description: "filter '\(filter.expression)' follows a chain of headers in a loop, which has no translation; "
            + "use 'proto' instead of 'protochain'")
      }
      jump(0x05, to: .step(index + 1 + Int(step.k)))
    case (5, _):
      let byX = step.code & 0x08 != 0
      jump(
        0x06 | UInt8(step.code & 0xf0) | (byX ? 0x08 : 0), Self.a, byX ? Self.x : 0, byX ? 0 : k,
        to: .step(index + 1 + Int(step.jumpTrue)))
      if step.jumpFalse != 0 { jump(0x05, to: .step(index + 1 + Int(step.jumpFalse))) }
    case (6, 0x06):
      if k == 0 {
        jump(0x05, to: .reject)
      } else {
        emit(0xb7, 0, 0, 1)
        jump(0x05, to: .end)
      }
    case (6, 0x16):
      emit(0xbc, 0, Self.a)
      jump(0x05, to: .end)
    case (7, 0x07): emit(0xbc, Self.x, Self.a)
    case (7, 0x87): emit(0xbc, Self.a, Self.x)
    default:
      throw FilterError(
        description: "filter '\(filter.expression)' uses a step (\(step.code)) that has no translation; rephrase it")
    }
  }

  private func cell(_ index: UInt32) -> Int16 { -16 - 8 * Int16(index & 15) }

  private func tooFar(_ offset: UInt32, _ size: Int, _ filter: Filter) -> FilterError {
    FilterError(
      description: "filter '\(filter.expression)' looks at byte \(Int(offset) + size - 1) of the frame; "
        + "only the first \(Filter.visibleBytes) can be looked at")
  }

  private mutating func load(
    _ register: UInt8, at offset: UInt32, _ size: Int, _ filter: Filter
  ) throws(FilterError) {
    guard Int(offset) + size <= Filter.visibleBytes else { throw tooFar(offset, size, filter) }
    jump(0xa5, Self.readable, 0, Int32(Int(offset) + size), to: .reject)
    bytes(into: register, from: Self.frame, offset: Int16(offset), size)
  }

  private mutating func bytes(into register: UInt8, from base: UInt8, offset: Int16, _ size: Int) {
    emit(0x71, register, base, offset: offset)
    for index in 1..<max(size, 1) where index < size {
      emit(0x67, register, 0, 8)
      emit(0x71, 0, base, offset: offset + Int16(index))
      emit(0x4f, register, 0)
    }
  }
}
