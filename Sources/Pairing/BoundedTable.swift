// SPDX-License-Identifier: GPL-2.0-or-later

/// A dictionary that knows which entry was put in (or touched) longest ago and never holds more than `limit`.
/// - Complexity: O(1) amortised for everything but ``removeAll()``.
struct BoundedTable<Key: Hashable, Value> {
  private struct Entry {
    var value: Value
    var serial: UInt64
  }
  private let limit: Int
  private var entries: [Key: Entry] = [:]
  /// Oldest first; a turn whose serial is not that of its entry is void.
  private var turns: [(serial: UInt64, key: Key)] = []
  private var head = 0
  private var serial: UInt64 = 0

  init(limit: Int) { self.limit = max(1, limit) }

  var count: Int { entries.count }

  subscript(key: Key) -> Value? { entries[key]?.value }

  /// In no order.
  func forEach(_ body: (Value) -> Void) {
    for entry in entries.values { body(entry.value) }
  }

  /// Puts a value in; returns what had to go for it: the value it replaces, or the oldest one.
  mutating func insert(_ value: Value, for key: Key) -> Value? {
    let replaced = entries.updateValue(Entry(value: value, serial: nextTurn(of: key)), forKey: key)?.value
    return replaced ?? (entries.count > limit ? popOldest { _ in true } : nil)
  }

  /// Changes a value where it is, in its old turn.
  mutating func update(_ key: Key, _ change: (inout Value) -> Void) {
    guard let index = entries.index(forKey: key) else { return }
    change(&entries.values[index].value)
  }

  mutating func touch(_ key: Key) {
    guard let index = entries.index(forKey: key), entries.values[index].serial != serial else { return }
    entries.values[index].serial = nextTurn(of: key)
  }

  mutating func remove(_ key: Key) -> Value? { entries.removeValue(forKey: key)?.value }

  /// Takes the oldest value out if it fulfils the condition.
  mutating func popOldest(where condition: (Value) -> Bool) -> Value? {
    while head < turns.count {
      let turn = turns[head]
      guard let entry = entries[turn.key], entry.serial == turn.serial else {
        head += 1
        continue
      }
      guard condition(entry.value) else { return nil }
      head += 1
      entries[turn.key] = nil
      return entry.value
    }
    return nil
  }

  /// All values, oldest first, out of the table.
  mutating func removeAll() -> [Value] {
    var values: [Value] = []
    while let value = popOldest(where: { _ in true }) { values.append(value) }
    turns = []
    head = 0
    return values
  }

  private mutating func nextTurn(of key: Key) -> UInt64 {
    serial += 1
    turns.append((serial, key))
    // Void ones are as large as the others: no more of them than of those.
    if turns.count > 64 + 2 * (entries.count + 1) {
      turns = turns[head...].filter { entries[$0.key]?.serial == $0.serial || $0.serial == serial }
      head = 0
    }
    return serial
  }
}
