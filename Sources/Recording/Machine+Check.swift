// SPDX-License-Identifier: GPL-2.0-or-later

extension Format {
  /// Times are below this, 146 years: a difference of two fits into 63 bits, and one of two differences into 64.
  static let timeLimit: Int64 = 1 << 62
}

/// What a file says that its types allow and that cannot be, for people.
protocol Checked {
  var problem: String? { get }
}

extension Session: Checked {
  static let memberLimit = 65_536

  var problem: String? {
    members.count > Session.memberLimit ? "\(members.count) members, more than \(Session.memberLimit)" : nil
  }
}

extension Machine: Checked {
  /// Far above what there can be: there are 17 hook points, and a few paths through them.
  private static let hookLimit = 256
  private static let pathLimit = 64
  private static let segmentLimit = 4_096
  private static let interfaceLimit = 256
  private static let guestLimit = 4_096
  private static let changeLimit = 1 << 16
  /// Of protocols that are paired, and of the segments they make.
  private static let protocolLimit = 64
  private static let nameLimit = 1 << 16
  private static let nameLength = 1 << 10
  /// Two centuries of nanoseconds have no error beyond half of them.
  private static let errorLimit: Int64 = 1 << 60

  var problem: String? { impossibleTime ?? tooMany ?? tooLong }

  private var impossibleTime: String? {
    for (key, time) in [("started_at_ns", startedAt), ("stopped_at_ns", stoppedAt ?? 0)]
    where time >= UInt64(Format.timeLimit) { return "impossible time \(time) at \"\(key)\"" }
    if changes?.contains(where: { $0.time >= UInt64(Format.timeLimit) }) == true {
      return "impossible time of a change"
    }
    for name in pairing?.names ?? [] {
      if let error = name.error, !(0...Machine.errorLimit ~= error) { return "impossible error_ns \(error) of a pair" }
    }
    return nil
  }

  private var tooMany: String? {
    let tables: [(what: String, count: Int, limit: Int)] = [
      ("hooks", hooks.count, Machine.hookLimit), ("paths", paths.count, Machine.pathLimit),
      ("hooks of a path", paths.map(\.hooks.count).max() ?? 0, Machine.hookLimit),
      ("segments", segments.count, Machine.segmentLimit),
      ("interfaces", interfaces?.count ?? 0, Machine.interfaceLimit),
      ("guests", guests?.count ?? 0, Machine.guestLimit), ("peers", peers?.count ?? 0, Machine.guestLimit),
      ("changes", changes?.count ?? 0, Machine.changeLimit),
      ("protocols", pairing?.protocols.count ?? 0, Machine.protocolLimit),
      ("protocols of pairs", Set(pairing?.names.map(\.ofProtocol) ?? []).count, Machine.protocolLimit),
      ("names of pairs", pairing?.names.count ?? 0, Machine.nameLimit),
    ]
    guard let table = tables.first(where: { $0.count > $0.limit }) else { return nil }
    return "\(table.count) \(table.what), more than \(table.limit)"
  }

  /// Names are looked for among others again and again.
  private var tooLong: String? {
    var names = hooks.map(\.name) + segments
    for path in paths { names += [path.name] + path.hooks }
    for name in pairing?.names ?? [] { names += [name.name, name.ofProtocol] }
    for tally in pairing?.protocols ?? [] { names.append(tally.name) }
    guard names.contains(where: { $0.utf8.count > Machine.nameLength }) else { return nil }
    return "a name of more than \(Machine.nameLength) bytes"
  }
}
