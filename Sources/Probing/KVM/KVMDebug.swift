// SPDX-License-Identifier: GPL-2.0-or-later
internal import Host

/// How KVM makes a vCPU's time stamp counter of the host's:
/// `guest = (host · ratio >> fractionBits) + offset`, modulo 2⁶⁴.
package struct VCPUCounter: Sendable, Equatable {
  package var vcpu: Int
  /// Ticks.
  package var offset: Int64
  /// 0: not scaled.
  package var ratio: UInt64
  /// Of `ratio`; 0 where it is not scaled.
  package var fractionBits: UInt32
}

/// KVM's directory in debugfs: `kvm/PID-DESCRIPTOR/vcpuN/`.
package struct KVMDebug: Sendable {
  package var path: String

  /// - Parameter root: where /sys is; empty for the machine's own.
  package init(root: String = "") { path = "\(root)/sys/kernel/debug/kvm" }

  /// False where debugfs is not mounted, may not be read, or KVM is not loaded.
  package var isReadable: Bool { !System.list(path).isEmpty }

  /// Why the counters of these guests cannot be read, in one line; nil where they can.
  func complaint(about guests: [KVMGuest]) -> String? {
    if guests.isEmpty { return nil }
    if !isReadable {
      let remedy = System.isRoot ? "mount it with 'mount -t debugfs none /sys/kernel/debug'" : "run with sudo"
      return "KVM's debugfs (\(path)) cannot be read, so that the guests' clocks are not known from it; \(remedy)"
    }
    let missing = guests.filter { counters(of: $0).isEmpty }.map { "\($0.name) (\($0.pid))" }
    return missing.isEmpty
      ? nil : "KVM's debugfs (\(path)) has no tsc-offset of \(missing.joined(separator: ", ")); clocks need another way"
  }

  /// The guest's directory; nil where there is none.
  ///
  /// The number is that of the thread that made the guest: in QEMU the process's own.
  func directory(of guest: KVMGuest) -> String? {
    let names = System.list(path)
    if let descriptor = guest.descriptor, names.contains("\(guest.pid)-\(descriptor)") {
      return "\(path)/\(guest.pid)-\(descriptor)"
    }
    let found = names.filter { $0.hasPrefix("\(guest.pid)-") }
    return found.count == 1 ? "\(path)/\(found[0])" : nil
  }

  /// vCPU numbers by thread id; empty on kernels that do not tell (before 6.0) and where nothing can be read.
  func vcpuThreads(of guest: KVMGuest) -> [Int: Int] {
    guard let directory = directory(of: guest) else { return [:] }
    var threads: [Int: Int] = [:]
    for (vcpu, path) in vcpus(directory) {
      guard let id = System.read("\(path)/pid", limit: 64).flatMap({ Int($0) }), id > 0 else { continue }
      threads[id] = vcpu
    }
    return threads
  }

  /// The counters of all vCPUs, by number; empty where KVM does not tell.
  package func counters(of guest: KVMGuest) -> [VCPUCounter] {
    guard let directory = directory(of: guest) else { return [] }
    return vcpus(directory).compactMap { vcpu, path in
      func number<T: LosslessStringConvertible>(_ name: String) -> T? {
        System.read("\(path)/\(name)", limit: 64).flatMap { T($0) }
      }
      guard let offset: Int64 = number("tsc-offset") else { return nil }
      guard let ratio: UInt64 = number("tsc-scaling-ratio"), let bits: UInt32 = number("tsc-scaling-ratio-frac-bits"),
        bits < 64
      else { return VCPUCounter(vcpu: vcpu, offset: offset, ratio: 0, fractionBits: 0) }
      return VCPUCounter(vcpu: vcpu, offset: offset, ratio: ratio, fractionBits: bits)
    }
  }

  private func vcpus(_ directory: String) -> [(Int, String)] {
    System.list(directory).compactMap { name in
      name.hasPrefix("vcpu") ? Int(name.dropFirst(4)).map { ($0, "\(directory)/\(name)") } : nil
    }.sorted { $0.0 < $1.0 }
  }
}
