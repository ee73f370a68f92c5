// SPDX-License-Identifier: GPL-2.0-or-later
internal import CBPF
internal import Glibc
package import Host

/// Empties the ring buffers, one CPU after the other. For one thread.
@safe package struct Drain: ~Copyable {
  private var readers: [OpaquePointer] = unsafe []
  private let buffer: UnsafeMutableRawBufferPointer

  private let cpus: [Int]

  package init(_ rings: [(cpu: Int, file: Int32)]) throws(KernelError) {
    unsafe buffer = .allocate(byteCount: 1 << 20, alignment: 8)
    cpus = rings.map(\.cpu)
    for ring in rings {
      guard let reader = unsafe lp_drain_open(ring.file) else {
        throw KernelError.system("a ring buffer cannot be read", errno)
      }
      unsafe readers.append(reader)
    }
  }

  deinit {
    unsafe readers.forEach { unsafe lp_drain_close($0) }
    unsafe buffer.deallocate()
  }

  /// Hands over all that lies in the rings, in batches of whole records of one CPU.
  ///
  /// One round takes at most four buffers of a CPU, so that a busy one does not starve the others.
  /// - Returns: the number of bytes handed over.
  package borrowing func run<E>(_ take: (_ cpu: Int, _ records: UnsafeRawBufferPointer) throws(E) -> Void) throws(E)
    -> Int
  {
    var total = 0
    for (place, cpu) in cpus.enumerated() {
      let reader = unsafe readers[place]
      for _ in 0..<4 {
        let count = unsafe lp_drain_read(reader, buffer.baseAddress, buffer.count)
        guard count > 0 else { break }
        total += count
        unsafe try take(cpu, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        if unsafe count < buffer.count / 2 { break }
      }
    }
    return total
  }
}
