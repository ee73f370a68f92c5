// SPDX-License-Identifier: GPL-2.0-or-later
internal import Glibc
internal import Recording
internal import TestPackets
internal import Wording

extension Sender {
  /// What came of the run, one line each.
  package var findings: [String] {
    var lines: [String] = []
    // What was not answered at all is an error, and told as such.
    if state.sent > 0, trips.answered > 0 || !options.expectsAnswers {
      let counts = machine.pairing?.protocols.first { $0.name == "stamp" }?.counts ?? [:]
      var words = ["\(trips.answered) of \(state.sent) answered"]
      for (key, text) in [
        ("lost_forward", "lost on the way there"), ("lost_backward", "lost on the way back"),
        ("repeated_responses", "duplicates"), ("disordered", "out of order"), ("abandoned", "without a time stamp"),
        ("unmatched_responses", "answers to no packet"), ("malformed", "answers that are none"),
        ("own_drops", "answers that found no room here"),
        ("clock_steps", "times that this machine's clock was set, or that it slept"),
      ] {
        if let count = counts[key], trips.answered > 0 { words.append("\(text) \(count)") }
      }
      if counts["renumbered"] != nil {
        words.append("the reflector began to number anew, so it is not known which way losses were")
      }
      lines.append(words.joined(separator: ", "))
    }
    if trips.delays.count > 0 {
      lines.append("round trip by \(basis.rawValue) time: " + Sender.text(trips.delays, [("p50", 0.5), ("p99", 0.99)]))
    }
    lines += oneWayFindings
    if let text = machine.settings["stamps"] { lines.append("time stamps are \(text)") }
    if trips.lateness.count > 0 {
      let guardTime = state.guardTime.map { "; sleeps end some \(Words.duration($0)) early and spin" } ?? ""
      let early =
        departure.map { "; \($0.discipline) had them \(Words.duration($0.lead)) early" } ?? ""
      let missed = state.missed > 0 ? "; \(state.missed) sent after the next was due" : ""
      lines.append(
        "behind schedule: "
          + Sender.text(trips.lateness, [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)]) + missed + guardTime + early)
    }
    return lines
  }

  /// Whether none of the time stamps came that the device had granted.
  package var deliveredNothing: Bool { sent > 0 && stamped == 0 }

  /// What a user has to know of the packets and their stamps, one line each.
  package var complaints: [String] {
    var lines: [String] = []
    if state.overdue > 0 {
      lines.append("\(state.overdue) packets that were due were not sent in time: give a lower --rate")
    }
    if state.refused.count > 0, breakdown == nil, state.sent > 0 { lines.append(refusalText) }
    if let text = trips.reflectorTimes.complaint { lines.append(text) }
    if trips.discarded > 0 {
      lines.append("\(trips.discarded) round trips have no time: a clock was set, or the machine slept, meanwhile")
    }
    if let text = way.text { lines.append("the way of the packets changed: \(text)") }
    if trips.answered > 0, failure == nil, trips.unansweredAtEnd >= 10,
      case let seconds = secondsWithoutAnswer, seconds >= 1
    {
      lines.append(
        "no answer came to the last \(trips.unansweredAtEnd) packets: the reflector has ended or a firewall drops them, "
          + "or answers take longer than \(Words.duration(seconds * 1e9))")
    }
    if state.droppedLate > 0 {
      lines.append(
        "\(state.droppedLate) packets were dropped by the device's queue, because their time was over: give a longer --txtime"
      )
    }
    if trips.leftEarly > 0 {
      lines.append(
        "\(trips.leftEarly) packets left before they were due: does their class of \(interface.name) have "
          + "\(departure?.discipline ?? "fq")? See 'tc qdisc show dev \(interface.name)'")
    }
    if state.ownDrops > 0 {
      lines.append(
        "\(state.ownDrops) answers came faster than this program fetched them, and found no room: they are not lost on the "
          + "way; give a lower --rate, or a CPU that is free")
    }
    guard missing > 0 else { return lines }
    let counts = (interface.driverCounters ?? [:]).filter { $0.value > 0 }.sorted { $0.key < $1.key }
      .map { "\($0.key) \($0.value)" }
    let driver = counts.isEmpty ? "" : " (\(counts.joined(separator: ", ")))"
    lines.append(
      deliveredNothing && clock == .hardware
        ? "\(interface.name) granted hardware time stamps and delivered none for its \(sent) packets\(driver)"
        : "\(missing) of \(sent) packets have no time stamp\(driver): they were dropped before the device, came too fast for it, "
          + "or the stamp was lost")
    return lines
  }

  /// Why packets could not leave any more, one line: the device went down, or lost its address or its way to the peer.
  package var breakdown: String? {
    let (count, error) = state.refused
    // The kernel calls an address of the sender's that is gone an invalid argument.
    guard count > 0,
      [ENETDOWN, ENETUNREACH, EHOSTUNREACH, ENODEV, ENXIO, EADDRNOTAVAIL, EINVAL].contains(error)
    else { return nil }
    let reason = error == EINVAL ? "its address is gone" : unsafe String(cString: strerror(error))
    return
      "\(count) of \(count + state.sent) packets were not sent (\(reason)): \(interface.name) went down, or lost its "
      + "address or its route; see 'ip address' and 'ip route'"
  }

  /// Why the run is no good, one line; nil if it is: packets could not leave, nobody answered, or nobody did any more.
  package var failure: String? {
    if let breakdown { return breakdown }
    if state.sent == 0, state.refused.count > 0 { return refusalText }
    guard options.expectsAnswers, state.sent > 0 else { return nil }
    if trips.answered == 0 { return "0 of \(state.sent) answered, \(silence.reason)" }
    guard trips.unansweredAtEnd > 0, socket.heard.lastAt > trips.lastAnswerAt else { return nil }
    return "no answer came to the last \(trips.unansweredAtEnd) of \(state.sent) packets: \(silence.reason)"
  }

  private var refusalText: String {
    let (count, error) = state.refused
    let reason =
      error == EPERM
      ? "a firewall of this machine drops them; see 'nft list ruleset'" : unsafe String(cString: strerror(error))
    return "\(count) of \(count + state.sent) packets were not sent: \(reason)"
  }

  /// Why nothing is answered.
  var silence: Silence {
    var silence = Silence(peer: peer, heard: socket.heard)
    silence.error = state.heard != 0 ? state.heard : socket.lastError
    silence.malformed = trips.malformed
    (silence.haveLeft, silence.isCut) = (stamped > 0, options.size < Reflection.shortest)
    return silence
  }

  /// Between the last answer and the last packet.
  private var secondsWithoutAnswer: Double {
    let end = Int64(clamping: machine.stoppedAt ?? machine.startedAt)
    return Double(end &- trips.lastAnswerAt) / 1e9
  }

  private var oneWayFindings: [String] {
    let oneWay = trips.oneWay
    if let refusal = oneWay.refusal { return ["no one-way delays: \(refusal)"] }
    guard let text = trips.oneWayText else { return [] }
    var lines = ["one-way delays: \(text)"]
    if oneWay.jumps > 0 {
      lines.append(
        "warning: a clock was set \(oneWay.jumps) times during the run, as the packets show: one-way delays are no good"
      )
    }
    let (forward, backward) = oneWay.negative
    if forward + backward > 0 {
      lines.append(
        "warning: \(forward) packets and \(backward) answers came before they left, by more than the clocks' error: the "
          + "clocks do not agree as they say")
    }
    return lines
  }

  private static func text(_ histogram: Histogram, _ quantiles: [(name: String, p: Double)]) -> String {
    let words = quantiles.map { "\($0.name) \(Words.duration(histogram.quantile($0.p) ?? 0))" }
    return (words + ["max \(Words.duration(histogram.max))"]).joined(separator: ", ")
  }
}
