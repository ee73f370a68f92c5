// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// The pairs of a tap as segments from `wire-in` to `wire-out`, one a name, so that reports and gates work on them.
///
/// A pair's delay runs to the first byte of the answer. Where answers take several packets, NAME`-last` runs to the last
/// byte. What became of the requests that have no pair is known by name, where the request tells that; else by protocol, and
/// each of its segments shows all of it.
func pairSegments(_ recording: MachineRecording, on scratch: Scratch) -> [SegmentResult] {
  guard let pairing = recording.machine.pairing else { return [] }
  let pairs = recording.pairs
  // There may be tens of millions: numbers take a tenth of the pairs' memory.
  var numbers = [[UInt32]](repeating: [], count: pairing.names.count)
  for (number, pair) in pairs.enumerated() where Int(pair.name) < numbers.count {
    numbers[Int(pair.name)].append(UInt32(truncatingIfNeeded: number))
  }
  return zip(pairing.names, numbers).flatMap { name, numbers in
    let sorted = numbers.sorted { pairs[Int($0)].start < pairs[Int($1)].start }
    func segment(_ suffix: String, _ end: (RecordedPair) -> Int64?) -> SegmentResult {
      var segment = recording.machine.segment(of: name, suffix, pairing, on: scratch)
      for number in sorted {
        let pair = pairs[Int(number)]
        guard let end = end(pair) else { continue }
        segment.starts.append(UInt64(clamping: pair.start))
        segment.delays.append(end.subtractingReportingOverflow(pair.start).partialValue)
        segment.packets.append(pair.number ?? number)
      }
      segment.summary = Summary(delays: segment.delays, errorBound: segment.errorBound)
      segment.takeOrder(of: sorted.compactMap { end(pairs[Int($0)]) == nil ? nil : pairs[Int($0)].number })
      return segment
    }
    let first = segment("") { $0.end }
    let hasLast = numbers.contains { number in
      let pair = pairs[Int(number)]
      return pair.last != nil && pair.last != pair.end
    }
    return hasLast ? [first, segment("-last") { $0.last }] : [first]
  }
}

extension SessionResult {
  /// The segments of a recording's pairs, and what their clocks did.
  mutating func addPairs(of recording: MachineRecording, on scratch: Scratch) {
    let added = pairSegments(recording, on: scratch)
    segments += added
    let name = recording.machine.name
    for segment in added where segment.errorBound > 0 || segment.name.hasPrefix("one-way") {
      let count = segment.delays.count { $0 < -segment.errorBound }
      guard count > 0 else { continue }
      warnings.append(
        "\(segment.direction) \(segment.name): \(count) delays are below zero by more than the clock error: the clocks do "
          + "not agree as they say")
    }
    let protocols = recording.machine.pairing?.protocols ?? []
    func sum(_ name: String) -> Count { protocols.sum { $0.counts[name] ?? 0 } }
    let homeless = sum("without_residence")
    if homeless > 0 {
      warnings.append(
        "\(name): \(homeless) answers do not tell, or not as it can be, how long the reflector had them: they have no "
          + "round-trip-less-residence")
    }
    if let way = recording.machine.settings["way"] {
      warnings.append("\(name): the way of the packets changed: \(way)")
    }
    if let silence = recording.machine.settings["silence"] {
      warnings.append("\(name): no packet was answered: \(silence)")
    }
    let (steps, jumps) = (sum("clock_steps"), sum("clock_jumps"))
    guard steps > 0 || jumps > 0 else { return }
    let line =
      "\(name): a clock was set during the run (CLOCK_REALTIME here \(steps) times; against the reflector's \(jumps) times, "
      + "as packets show): delays of packets on their way then are wrong"
    warnings.append(line)
    if recording.machine.pairing?.names.contains(where: { $0.error != nil }) == true { clockFaults.append(line) }
  }
}

/// The same of pairs that are on disk: the numbers are those, exactly, but the delays themselves are not held.
package func pairSegments(_ machine: Machine, _ pairs: PairSpill) throws(RecordingError) -> [SegmentResult] {
  guard let pairing = machine.pairing else { return [] }
  var segments = pairing.names.map { [machine.segment(of: $0, "", pairing)] }
  let scratch = pairs.makeScratch()
  var name: UInt16?
  var first = Column<Int64>(on: scratch)
  var last = Column<Int64>(on: scratch)
  var hasLast = false
  func end() throws(RecordingError) {
    guard let number = name.map(Int.init), segments.indices.contains(number) else { return }
    segments[number][0].summarize(first)
    try scratch.check()
    guard hasLast else { return }
    var segment = machine.segment(of: pairing.names[number], "-last", pairing)
    segment.summarize(last)
    try scratch.check()
    segments[number].append(segment)
  }
  try pairs.forEachByStart { (pair) throws(RecordingError) in
    if pair.name != name {
      try end()
      name = pair.name
      (first, last, hasLast) = (Column(on: scratch), Column(on: scratch), false)
    }
    first.append(pair.end.subtractingReportingOverflow(pair.start).partialValue)
    guard let end = pair.last else { return }
    last.append(end.subtractingReportingOverflow(pair.start).partialValue)
    if end != pair.end { hasLast = true }
  }
  try end()
  return segments.flatMap(\.self)
}

extension Machine {
  /// Without delays.
  fileprivate func segment(
    of name: PairingAccount.Name, _ suffix: String, _ pairing: PairingAccount, on scratch: Scratch? = nil
  ) -> SegmentResult {
    let ofProtocol = pairing.protocols.first { $0.name == name.ofProtocol }?.counts ?? [:]
    let counts = name.counts ?? ofProtocol
    func sum(_ keys: String...) -> Count { keys.sum { counts[$0] ?? 0 } }
    var segment = SegmentResult(
      name: name.name + suffix, direction: name.ofProtocol, from: Point(hook: .wireIn, machine: self.name),
      to: Point(hook: .wireOut, machine: self.name), isNeighbour: false, scratch: scratch)
    segment.lost = sum("unanswered").value
    var unmatched = sum("abandoned", "evicted", "own_drops")
    if let way = ["one-way-forward": "lost_forward", "one-way-backward": "lost_backward"][name.name] {
      // Lost on this way, where that is known; of the rest not even on which.
      segment.lost = sum(way).value
      unmatched += sum("unanswered") - sum("lost_forward", "lost_backward")
    }
    if name.name == "round-trip-less-residence" { unmatched += sum("without_residence") }
    segment.unmatched = unmatched.value
    // Whose answer it was is what nobody knows.
    segment.ambiguous = (ofProtocol["ambiguous"] ?? 0).value
    segment.duplicate = sum("repeated_requests", "repeated_responses").value
    segment.errorBound = name.error ?? 0
    return segment
  }
}

extension SegmentResult {
  /// Without keeping the delays themselves.
  fileprivate mutating func summarize(_ delays: Column<Int64>) {
    summary = Summary(delays: delays, errorBound: errorBound)
    summary?.sorted = []
  }

  /// - Parameter numbers: the sender's, one for each delay; others are none.
  fileprivate mutating func takeOrder(of numbers: [UInt32]) {
    guard !numbers.isEmpty, numbers.count == delays.count else { return }
    isNumbered = true
    successive.append(contentsOf: successiveDifferences(Array(delays), numbers: numbers))
    successiveVariation = SuccessiveVariation(successive)
  }
}
