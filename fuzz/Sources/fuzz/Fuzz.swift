// SPDX-License-Identifier: GPL-2.0-or-later
import FuzzTargets
import Glibc

/// The target that `FUZZ_TARGET` names: one of the folders of fuzz/seeds.
private let target: FuzzTarget = {
  guard let name = unsafe getenv("FUZZ_TARGET"), let target = unsafe FuzzTarget.named(String(cString: name)) else {
    fatalError("FUZZ_TARGET names no target: \(FuzzTarget.all.map(\.name).joined(separator: ", "))")
  }
  return target
}()

/// What libFuzzer's main calls for each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
  unsafe target.run(Array(UnsafeBufferPointer(start: data, count: size)))
  return 0
}
