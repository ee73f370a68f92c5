// SPDX-License-Identifier: GPL-2.0-or-later
internal import CBPF
internal import Glibc
package import Host
package import Topology

extension KernelFacts {
  /// Asks the running kernel: its BTF for symbols, and each rung by attaching a program for a moment that reads the kernel's
  /// memory as ours do.
  ///
  /// Needs the capabilities that attaching needs; without them every rung is refused.
  /// - Throws: where the kernel's BTF cannot be read, without which no program can be loaded and no symbol is known.
  package static func live() throws(KernelError) -> KernelFacts {
    lp_messages_capture()
    var facts = KernelFacts(release: System.release, rungs: [:], tracepoints: [], functions: [])
    for rung in Rung.allCases { facts.rungs[rung] = status(of: rung) }
    let result = unsafe withUnsafeMutablePointer(to: &facts) { facts in
      unsafe lp_kernel_symbols(
        { context, kind, name in
          guard let facts = unsafe context?.assumingMemoryBound(to: KernelFacts.self), let name = unsafe name else {
            return
          }
          if kind == 0 {
            unsafe facts.pointee.tracepoints.insert(String(cString: name))
          } else {
            unsafe facts.pointee.functions.insert(String(cString: name))
          }
        }, facts)
    }
    _ = unsafe lp_messages_take()
    guard result == 0 else {
      throw KernelError(
        "the kernel's BTF cannot be read here (/sys/kernel/btf/vmlinux), and without it nothing can be recorded: mount sysfs "
          + "on /sys, or use a kernel built with CONFIG_DEBUG_INFO_BTF=y")
    }
    return facts
  }

  /// Programs may not read the kernel's memory then.
  private static var isLockedDown: Bool {
    System.read("/sys/kernel/security/lockdown")?.contains("[confidentiality]") ?? false
  }

  private static func status(of rung: Rung) -> RungStatus {
    let result = unsafe lp_rung_try(rung.rawValue)
    switch -result {
    case 0: return .ok
    case ENOTSUP: return .unsupported("not built into this kernel")
    case EPERM: return .refused("EPERM")
    case EACCES: return .refused("EACCES")
    case _ where isLockedDown: return .refused("the kernel is locked down: confidentiality")
    case let code: return .unsupported(unsafe String(cString: strerror(code)))
    }
  }
}
