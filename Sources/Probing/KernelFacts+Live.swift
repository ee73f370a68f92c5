// SPDX-License-Identifier: GPL-2.0-or-later
internal import CBPF
internal import Glibc
package import Topology

extension KernelFacts {
  /// Asks the running kernel: its BTF for symbols, and each rung by attaching an empty program for a moment.
  ///
  /// Needs the capabilities that attaching needs; without them every rung is refused.
  package static func live() -> KernelFacts {
    lp_messages_capture()
    var facts = KernelFacts(release: System.release, rungs: [:], tracepoints: [], functions: [])
    for rung in Rung.allCases { facts.rungs[rung] = status(of: rung) }
    unsafe withUnsafeMutablePointer(to: &facts) { facts in
      _ = unsafe lp_kernel_symbols(
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
    return facts
  }

  private static func status(of rung: Rung) -> RungStatus {
    let result = unsafe lp_rung_try(rung.rawValue)
    switch -result {
    case 0: return .ok
    case ENOTSUP: return .unsupported("not built into this kernel")
    case EPERM: return .refused("EPERM")
    case EACCES: return .refused("EACCES")
    case let code: return .unsupported(unsafe String(cString: strerror(code)))
    }
  }
}
