// SPDX-License-Identifier: GPL-2.0-or-later
internal import CBPF
internal import CLatprobeABI
internal import Glibc
internal import Recording
package import Topology

extension KernelFacts {
  /// How to hear of packets that the kernel throws away; nil where it cannot be done.
  package func dropRung(_ programs: Set<String>) -> Rung? {
    guard has("kfree_skb", .tracepoint) else { return nil }
    return Rung.ladder(for: .tracepoint).first {
      status(of: $0) == .ok && programs.contains($0.program(for: "kfree_skb"))
    }
  }
}

/// Why and where packets were thrown away, as the programs count it.
struct DropPlaces {
  let map: Int32
  /// Goes into the places' numbers.
  let secret: UInt64

  /// - Parameter named: also ask the kernel for names, which takes it tens of milliseconds.
  func read(named: Bool) -> [DropPlace] {
    var keys: [lp_drop_place] = []
    var places: [DropPlace] = []
    var key = lp_drop_place()
    var result = unsafe bpf_map_get_next_key(map, nil, &key)
    while result == 0, keys.count < Int(LP_DROP_PLACES) {
      var count: UInt64 = 0
      if unsafe bpf_map_lookup_elem(map, &key, &count) == 0 {
        keys.append(key)
        places.append(
          DropPlace(place: lp_place_of_drop(key, secret), reason: key.reason, name: nil, function: nil, count: count))
      }
      var next = lp_drop_place()
      result = unsafe bpf_map_get_next_key(map, &key, &next)
      key = next
    }
    guard named, !keys.isEmpty else { return places.sorted { $0.place < $1.place } }
    let functions = DropPlaces.functions(of: keys.map(\.location))
    for index in places.indices {
      places[index].name = DropPlaces.name(of: places[index].reason)
      places[index].function = functions[index].isEmpty ? nil : functions[index]
    }
    return places.sorted { $0.place < $1.place }
  }

  private static func name(of reason: UInt32) -> String? {
    var name = [UInt8](repeating: 0, count: 64)
    let isKnown = unsafe name.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return false }
      return unsafe lp_drop_reason(reason, base.assumingMemoryBound(to: CChar.self), bytes.count) == 0
    }
    return isKnown ? String(decoding: name.prefix { $0 != 0 }, as: UTF8.self) : nil
  }

  private static func functions(of addresses: [UInt64]) -> [String] {
    let width = 64
    var names = [UInt8](repeating: 0, count: width * addresses.count)
    unsafe names.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      unsafe lp_functions_of(addresses, addresses.count, OpaquePointer(base).map(UnsafeMutablePointer.init))
    }
    return addresses.indices.map { index in
      String(decoding: names[index * width..<(index + 1) * width].prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}
