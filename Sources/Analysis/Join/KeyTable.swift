// SPDX-License-Identifier: GPL-2.0-or-later

/// Numbers by 64-bit key, for tables that are asked for every stamp.
///
/// Trade: open addressing in two arrays, where `Dictionary` would take three times as long. The hash is another one in each
/// run, so that no recording can be made of keys that collide.
struct KeyTable {
  static let none = -1

  private(set) var count = 0
  private var keys: [UInt64]
  private var values: [Int]
  private var shift: UInt64
  private let seed = UInt64.random(in: .min ... .max) | 1

  init() {
    keys = [UInt64](repeating: 0, count: 1_024)
    values = [Int](repeating: KeyTable.none, count: 1_024)
    shift = 64 - 10
  }

  /// The key's number, or ``none``.
  subscript(key: UInt64) -> Int {
    @inline(__always) get { values[place(of: key)] }
    set {
      let place = place(of: key)
      if values[place] == KeyTable.none {
        guard newValue != KeyTable.none else { return }
        keys[place] = key
        values[place] = newValue
        count += 1
        if 2 * count > keys.count { grow() }
      } else if newValue == KeyTable.none {
        remove(at: place)
      } else {
        values[place] = newValue
      }
    }
  }

  @inline(__always)
  private func home(of key: UInt64) -> Int {
    let mixed = (key ^ key >> 32) &* seed
    return Int(truncatingIfNeeded: ((mixed ^ mixed >> 29) &* 0x9E37_79B9_7F4A_7C15) >> shift)
  }

  /// Where the key is, or would be.
  @inline(__always)
  private func place(of key: UInt64) -> Int {
    var place = home(of: key)
    while values[place] != KeyTable.none, keys[place] != key { place = (place + 1) & (keys.count - 1) }
    return place
  }

  /// Moves up those that had to give way, so that no mark is left behind.
  private mutating func remove(at place: Int) {
    let mask = keys.count - 1
    var hole = place
    var next = (place + 1) & mask
    while values[next] != KeyTable.none {
      if (next &- home(of: keys[next])) & mask >= (next &- hole) & mask {
        keys[hole] = keys[next]
        values[hole] = values[next]
        hole = next
      }
      next = (next + 1) & mask
    }
    values[hole] = KeyTable.none
    count -= 1
  }

  private mutating func grow() {
    let (oldKeys, oldValues) = (keys, values)
    keys = [UInt64](repeating: 0, count: 2 * oldKeys.count)
    values = [Int](repeating: KeyTable.none, count: keys.count)
    shift -= 1
    for (key, value) in zip(oldKeys, oldValues) where value != KeyTable.none {
      let place = place(of: key)
      keys[place] = key
      values[place] = value
    }
  }
}
