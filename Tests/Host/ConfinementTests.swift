// SPDX-License-Identifier: GPL-2.0-or-later
import CSeccomp
import Glibc
import Testing

/// What a confined program can call. Each call is made by a process of its own.
@Suite struct ConfinementTests {
  private func signal(_ profile: lp_profile, _ call: String, _ first: Int = 0) -> Int32 {
    unsafe lp_seccomp_try(profile, call, first, 0, 0) & 0x7f
  }

  /// -1 where it was ended.
  private func code(_ profile: lp_profile, _ call: String, _ first: Int = 0, _ second: Int = 0, _ third: Int = 0)
    -> Int32
  {
    let status = unsafe lp_seccomp_try(profile, call, first, second, third)
    return status & 0x7f == 0 ? status >> 8 & 0xff : -1
  }

  /// Starting a program, reaching a network, looking into a process, changing the machine: each ends a reader.
  @Test func aForbiddenCallEndsAReader() {
    let calls = [
      "execve", "execveat", "socket", "connect", "bind", "ptrace", "bpf", "mount", "setuid", "setns",
      "unshare", "init_module", "kexec_load", "perf_event_open", "process_vm_writev", "io_uring_setup",
      "keyctl", "reboot",
    ]
    for call in calls { #expect(signal(LP_PROFILE_READER, call) == SIGSYS, "\(call)") }
    // fork
    #expect(signal(LP_PROFILE_READER, "clone", Int(SIGCHLD)) == SIGSYS)
  }

  @Test func whatAReaderNeedsWorksAndTheRestFails() {
    #expect(code(LP_PROFILE_READER, "getpid") == 0)
    #expect(code(LP_PROFILE_READER, "read", -1) == EBADF)
    #expect(code(LP_PROFILE_READER, "kill", 0) == EPERM)
    #expect(code(LP_PROFILE_READER, "ioctl", 0, 0x5412) == EPERM)
  }

  @Test func aDrawerMayNeitherForkNorWriteFiles() {
    #expect(code(LP_PROFILE_DRAWER, "clone", Int(SIGCHLD)) == EPERM)
    #expect(code(LP_PROFILE_DRAWER, "socket", 1, 1) == EPERM)
    #expect(code(LP_PROFILE_DRAWER, "openat", -1, 0, Int(O_WRONLY)) == EPERM)
    #expect(code(LP_PROFILE_DRAWER, "openat", -1, 0, Int(O_RDWR)) == EPERM)
    #expect(code(LP_PROFILE_DRAWER, "openat", -1, 0, Int(O_RDONLY)) == EFAULT)
    #expect(code(LP_PROFILE_DRAWER, "unlinkat", -1) == EPERM)
  }
}
