// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording
import Wording

/// What stands below the table: ledger, absent hooks, environment, clock, warnings.
extension Report {
  private static let labelWidth = 10
  private static let mostWidth = 100

  static func notes(_ result: SessionResult, verbose: Bool, width: Int, _ terminal: Terminal) -> [String] {
    let width = min(width, mostWidth)
    func note(_ label: String, _ text: String) -> [String] { self.note(label, text, width, terminal) }
    var lines = ledger(result, verbose: verbose, width, note)
    for hook in result.hooks where hook.attachedAs == nil {
      lines += note(
        "Absent", "\(name(hook, result)): \(hook.absentBecause ?? "not attached, the reason is not recorded")")
    }
    var machines: Set<[String]> = []
    for machine in result.machines {
      lines += environment(machine, isKnown: { !machines.insert($0).inserted }, note)
      for guest in machine.guests ?? [] { lines += note("Guest", guestLine(guest)) }
    }
    for (number, line) in clockLines(result).enumerated() { lines += note(number == 0 ? "Clock" : "", line) }
    for line in calibrationLines(result) { lines += note("Constant", line) }
    lines += note("Session", session(result.session))
    for line in result.damage { lines += note("Damage", line) }
    for line in result.warnings { lines += note("Warning", line) }
    return lines
  }

  /// A label in the first column, the text wrapped behind it.
  private static func note(_ label: String, _ text: String, _ width: Int, _ terminal: Terminal) -> [String] {
    Words.wrapped(Text.plain(text), width - labelWidth).enumerated().map { number, line in
      let first = Text.padded(number == 0 ? label : "", labelWidth)
      return (label == "Warning" || label == "Damage" ? terminal.colored(first, .yellow) : first) + line
    }
  }

  private typealias Note = (_ label: String, _ text: String) -> [String]

  private static func name(_ hook: HookResult, _ result: SessionResult) -> String {
    result.machines.count > 1 ? "\(hook.point.hook.name) on \(hook.point.machine)" : hook.point.hook.name
  }

  // MARK: Ledger

  private static func ledger(_ result: SessionResult, verbose: Bool, _ width: Int, _ note: Note) -> [String] {
    let emitted = result.hooks.sum(\.ledger.emitted)
    let lost = result.hooks.sum(\.ledger.lost)
    let missed = result.hooks.sum(\.missed)
    var line = "stamps \(emitted), lost \(lost)"
    if missed > 0 { line += ", missed by recursion \(missed)" }
    var lines = note("Ledger", line)
    if lost > 0 || missed > 0 || verbose { lines += ledgerRows(result, width) }
    return lines
  }

  private static func ledgerRows(_ result: SessionResult, _ width: Int) -> [String] {
    let titles = ["seen", "filtered", "sampled", "emitted", "lost", "unbound", "missed"]
    var table = TextTable(
      columns: [.init(title: "hook", isLeft: true)] + titles.map { .init(title: $0) }
        + [.init(title: "attached as", isLeft: true, drop: 1)])
    for hook in result.hooks where hook.attachedAs != nil {
      let row = hook.ledger
      let counts = [row.seen, row.filtered, row.sampledOut, row.emitted, row.lost, row.unbound, hook.missed]
      table.rows.append(
        .cells([Text.plain(name(hook, result))] + counts.map { "\($0)" } + [Text.plain(hook.attachedAs ?? "")]))
    }
    return table.rendered(width: width).lines
  }

  // MARK: Environment

  /// - Parameter isKnown: whether these lines, of the machine itself, were printed for another recording.
  private static func environment(_ machine: Machine, isKnown: ([String]) -> Bool, _ note: Note) -> [String] {
    var words = ["\(machine.hostname): Linux \(machine.kernel) \(machine.architecture)"]
    words.append("\(machine.cpus) × \(machine.cpuModel.isEmpty ? "CPU" : machine.cpuModel)")
    words.append("clock source \(machine.clockSource)")
    if machine.captures != nil { words = [machine.name] }
    var lines = note("Machine", words.joined(separator: ", "))
    if isKnown(lines) { lines = [] }
    for line in captureLines(machine) { lines += note("Capture", line) }

    for interface in machine.interfaces ?? [] {
      let clocks = interface.clocks.sorted { $0.key < $1.key }.map { "\($0.value) by \($0.key)" }
      lines += note(
        "Tap",
        "\(interface.name) (\(interface.driver)), hardware time stamps: \(interface.hardware); stamps "
          + "\(clocks.isEmpty ? "none" : clocks.joined(separator: ", ")); dropped \(interface.ringDrops) by the ring, "
          + "\(interface.deviceDrops) by the device"
          + (interface.driverCounters ?? [:]).filter { $0.value > 0 }.sorted { $0.key < $1.key }
          .map { "; \($0.key) \($0.value)" }.joined())
    }
    for tally in machine.pairing?.protocols ?? [] {
      let counts = tally.counts.filter { $0.value > 0 && $0.key != "paired" && $0.key != "requests" }
      let rest = counts.sorted { $0.key < $1.key }.map {
        "\(String($0.key.map { $0 == "_" ? " " : $0 })) \($0.value)"
      }
      lines += note(
        "Pairs",
        "\(tally.name): \(tally.counts["paired"] ?? 0) of \(tally.counts["requests"] ?? 0) requests"
          + (rest.isEmpty ? "" : "; " + rest.joined(separator: ", ")))
    }
    if let packets = machine.pairing?.packets {
      if let odd = leftOut(packets) {
        lines += note("", "of \(packets["packets"] ?? 0) packets: " + odd)
      }
      return lines
    }

    words = ["topology \(machine.topology)", "filter \(machine.filter.map { "'\($0)'" } ?? "none")"]
    words.append(sampling(machine.sampling))
    words.append("identity \(machine.identity)")
    if let cost = machine.stampCost { words.append("a stamp costs \(Words.duration(cost))\(costs(machine))") }
    lines += note("", words.joined(separator: ", "))

    // A recording that was cut off or lost streams to rotation has a warning of its own.
    if let stop = machine.stoppedAt, stop >= machine.startedAt {
      let length = Words.duration(Double(stop - machine.startedAt))
      lines += note("", "recorded \(length), stopped by \(machine.stoppedBy ?? "an unknown reason")")
    }
    return lines
  }

  /// By hook point, those with one cost together: ` (txg1 310 ns, txg2 and rxh1 420 ns)`.
  private static func costs(_ machine: Machine) -> String {
    let names = machine.hooks.map(\.name).filter { machine.stampCosts?[$0] != nil }
    var groups: [(cost: Double, names: [String])] = []
    for name in names {
      guard let cost = machine.stampCosts?[name] else { continue }
      if let index = groups.firstIndex(where: { $0.cost == cost }) {
        groups[index].names.append(name)
      } else {
        groups.append((cost, [name]))
      }
    }
    guard groups.count > 1 else { return "" }
    return " (" + groups.map { "\(Text.list($0.names)) \(Words.duration($0.cost))" }.joined(separator: ", ") + ")"
  }

  private static func sampling(_ sampling: Machine.Sampling) -> String {
    guard sampling.oneIn > 1 else { return "every packet" }
    return "sampled 1/\(sampling.oneIn) (UDP by \(sampling.udpBy), TCP by \(sampling.tcpBy))"
  }

  private static func session(_ session: Session) -> String {
    let labels = session.labels.sorted { $0.key < $1.key }.map { ", \($0.key)=\($0.value)" }.joined()
    return session.id + labels
  }
}
