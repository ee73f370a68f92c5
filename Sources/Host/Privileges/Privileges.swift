// SPDX-License-Identifier: GPL-2.0-or-later
internal import CPrivileges
internal import CSeccomp
internal import Glibc
internal import Recording

/// Giving up what is not needed any more, for good.
package enum Privileges {
  /// Keeps these capabilities, as far as they are there, and no others; nothing that is started later gets more.
  ///
  /// For the calling thread and those that it starts: to be called before there are others. From then on files are made as
  /// the user who called by sudo, in folders that are that user's.
  package static func keep(_ kept: Set<Capability>) {
    if let invoker = Invoker.current { lp_files_as(invoker.user, invoker.group) }
    // A folder of another user's may be closed to root that has no right to files.
    giveUp(allBut: WritePolicy.isForeignAllowed ? kept.union([.dacOverride]) : kept)
  }

  /// For a program that reads what others may have made, and writes a result: of root's rights those to files stay, and a
  /// system call that such a program does not make ends it.
  ///
  /// - Returns: why it goes on unconfined; nil if it does not.
  package static func confineReader() -> String? {
    giveUp(allBut: [.chown, .dacOverride, .dacReadSearch])
    // The runtime would start a program that explains a crash, and so end by another signal than the crash's.
    for number in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP] { signal(number, SIG_DFL) }
    let error = lp_seccomp_confine(LP_PROFILE_READER)
    guard error != 0 else { return nil }
    return "system calls are not filtered: \(unsafe String(cString: strerror(-error)))"
  }

  private static func giveUp(allBut kept: Set<Capability>) {
    // Refused only where there is nothing to give up: by a kernel without capabilities.
    _ = lp_keep_capabilities(kept.reduce(0) { $0 | 1 << UInt64($1.rawValue) })
  }
}
