// SPDX-License-Identifier: GPL-2.0-or-later
import CFuzzer
import FuzzTargets
import Glibc

/// Runs libFuzzer on one target: `fuzz TARGET [its options] [folders of inputs]`; `fuzz` alone lists the targets.
@main enum Fuzz {
  nonisolated(unsafe) private static var target: FuzzTarget?

  static func main() {
    var arguments = CommandLine.arguments
    guard arguments.count > 1 else {
      for target in FuzzTarget.all { print("\(target.name)\t\(target.summary)") }
      return
    }
    unsafe target = FuzzTarget.named(arguments.remove(at: 1))
    guard unsafe target != nil else {
      print("no such target: \(CommandLine.arguments[1]); `fuzz` alone lists them")
      exit(64)
    }
    var words = unsafe arguments.map { unsafe strdup($0) } + [nil]
    let status = unsafe lp_fuzz(Int32(arguments.count), &words) { data, size in
      unsafe Fuzz.target?.run(Array(UnsafeBufferPointer(start: data, count: size)))
      return 0
    }
    guard status >= 0 else {
      print("this build has no fuzzer: `make fuzz` makes one that has")
      exit(1)
    }
    exit(status)
  }
}
