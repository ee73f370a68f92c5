// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// Joins the stamps of a session's recordings into journeys and measures every segment of every path.
///
/// Definitions and formulas: docs/analysis.md. The recordings are not changed.
/// - Parameter scratch: takes what grows with the number of packets.
/// - Complexity: about linear in the number of stamps.
package func analyse(
  session: Session, recordings: [MachineRecording], options: AnalysisOptions = AnalysisOptions(),
  scratch: Scratch = Scratch()
) throws -> SessionResult {
  guard !recordings.isEmpty else { throw AnalysisError.noRecordings }
  guard options.matchWindow > 0, options.matchWindow <= 3_600_000_000_000 else {
    throw AnalysisError.windowNotPositive(options.matchWindow)
  }
  guard options.pitBin > 0, options.pitBin <= 3_600_000_000_000 else {
    throw AnalysisError.binNotPositive(options.pitBin)
  }

  let clocks = try SessionClocks(recordings)
  let flows = recordings.reduce(into: [:]) { $0.merge($1.flows) { mine, _ in mine } }
  var analysis = try SessionAnalysis(recordings: recordings, domains: clocks.domains, flows: flows, options: options)
  analysis.keepSeenWire()
  analysis.splitWire(devices: clocks.tapDevices)
  analysis.splitBothWays(flows)
  if let filter = options.filter { analysis.filter(filter, flows) }
  analysis.group(by: options.groupBy, flows)
  analysis.toMany = Set(flows.values.filter(\.isToMany).map(\.id))
  analysis.noteWhoCameThrough(flows)
  var result = SessionResult(session: session, machines: recordings.map(\.machine))
  for recording in recordings { result.add(recording) }
  if let warning = result.emulationWarning { result.warnings.append(warning) }
  result.warnings += result.unsentWarnings
  result.warnings += analysis.paths.warnings
  result.warnings += clocks.warnings + analysis.notes
  result.clocks = clocks.guests
  result.clockFaults += clocks.faults
  if clocks.domains.count == 1 {
    let methods = clocks.guests.compactMap(\.method)
    result.clockMethod = methods.isEmpty ? "same clock" : Set(methods).sorted().joined(separator: ", ")
    result.clockError =
      (clocks.guests.compactMap(\.error).max() ?? 0) + (recordings.map { $0.machine.captureStep() }.max() ?? 0)
  }
  try analysis.fill(&result, on: scratch)
  result.addMeanings()
  result.addProbeTimes()
  if options.filter == nil {
    for recording in recordings { result.addPairs(of: recording, on: scratch) }
  } else if recordings.contains(where: { $0.machine.pairing != nil }) {
    result.warnings.append(
      "pairs of requests and answers, test packets among them, tell no addresses: the filter left them out")
  }
  try scratch.check()
  result.scratch = scratch
  return result
}

extension SessionResult {
  /// Ledger, counters and what is wrong with one recording.
  fileprivate mutating func add(_ recording: MachineRecording) {
    let machine = recording.machine
    var sums: [String: LedgerRow] = [:]
    for row in machine.ledger { sums[row.hook, default: LedgerRow(hook: row.hook, cpu: -1)].add(row) }
    for hook in machine.hooks {
      let sum = sums[hook.name] ?? LedgerRow(hook: hook.name, cpu: -1)
      if sum.isCapped {
        let line = "\(machine.name): the ledger of \(hook.name) counts more than there can have been"
        damage.append(line)
        impossible.append(line)
      }
      guard let point = HookPoint(name: hook.name) else {
        warnings.append("\(machine.name): unknown hook point \(hook.name): left out")
        continue
      }
      hooks.append(
        HookResult(
          point: Point(hook: point, machine: machine.name), attachedAs: hook.attachedAs,
          absentBecause: hook.absentBecause, ledger: sum, missed: machine.missed[hook.name] ?? 0))
    }
    for (type, count) in recording.eventsByType { eventsByType[type, default: 0] += count }
    discardedByCPU[machine.name] = recording.discardedByCPU
    damage += recording.damage.map { "\(machine.name): \($0)" }
    impossible += recording.impossible.map { "\(machine.name): \($0)" }
    if machine.stoppedAt == nil {
      warnings.append(
        machine.isBeingRecorded
          ? "\(machine.name): still being recorded; it counts up to the last stamp that is on disk"
          : "\(machine.name): the recording was cut off; it counts up to its last stamp")
    }
    warnings += machine.changeWarnings
    addCaptureWarnings(machine)
    if machine.endedByFailure, machine.captures?.contains(where: { $0.error != nil }) != true {
      warnings.append(
        "\(machine.name): the recording was ended by a failure (\(machine.stoppedBy ?? "unknown")); its last stamps are "
          + "not on disk")
    }
    if machine.rotation.deletedStreams > 0 {
      warnings.append(
        "\(machine.name): rotation deleted \(machine.rotation.deletedStreams) streams with "
          + "\(machine.rotation.deletedEvents) events: packets of that time may be unmatched")
    }
    if machine.paths.isEmpty {
      warnings.append("\(machine.name): the recording names no paths: record it again with a topology")
    }
  }
}

extension Machine {
  /// What changed while it recorded, one line each; of many changes the first.
  fileprivate var changeWarnings: [String] {
    let limit = 12
    let all = (changes ?? []).filter { change in
      // A CPU that comes or goes, or a wall clock that is set, changes nothing in times that nobody took by it.
      !change.hooks.isEmpty || change.what == .unnamed || (change.what == .clockSet && role == "wire")
    }
    let lines = all.prefix(limit).map { change in
      let after = change.time > startedAt ? Double(change.time - startedAt) / 1e9 : 0
      let place = change.hooks.isEmpty ? "" : " (\(change.hooks.joined(separator: " ")))"
      let tenths = Int((after * 10).rounded())
      return "\(name): \(tenths / 10).\(tenths % 10) s after the start \(change)\(place)"
    }
    return lines
      + (all.count > limit ? ["\(name): \(all.count - limit) further changes, see `changes` in machine.json"] : [])
  }
}

/// One run of the analysis over all clock domains of a session: a first pass chooses the paths of flows, a second one
/// follows packets.
struct SessionAnalysis {
  let options: AnalysisOptions
  var paths: PathSet
  private(set) var domains: [ClockDomain] = []
  private(set) var surveys: [Survey] = []
  /// Where the packets of each domain's flows go.
  var choices: [PathChoice] = []
  /// By domain and path.
  var groupNames: [[[String]]] = []
  /// Ids of flows to multicast and broadcast addresses.
  var toMany: Set<UInt32> = []
  /// Ids of flows between addresses of which nothing passed both of a tap's points.
  var strangers: Set<UInt32> = []
  /// What became of the taps' points, for people.
  var notes: [String] = []
  /// The same of paths that no topology has, by path.
  var noteOfPath: [Int: String] = [:]
  /// Ways between a tap's devices by path.
  var waysOfPath: [Int: Set<Way>] = [:]
  var tapDevices: [TapDevice] = []

  init(
    recordings: [MachineRecording], domains timed: [[TimedRecording]], flows table: [UInt32: Flow],
    options: AnalysisOptions
  ) throws(RecordingError) {
    self.options = options
    paths = PathSet(machines: recordings.map(\.machine))
    domains = timed.map { ClockDomain(recordings: $0, order: paths.order) }
    for domain in domains { surveys.append(try Survey(domain, window: UInt64(options.matchWindow))) }
    // A flow's path is chosen by all that any machine saw of it.
    var seen: [UInt32: UInt32] = [:]
    if domains.count > 1 {
      for flows in surveys.map(\.flows) {
        for (number, id) in flows.ids.enumerated() { seen[id, default: 0] |= flows.seen[number] }
      }
    }
    // A tap sees packets that hook points do not sample: nobody can ask for those there.
    let isSampled = recordings.contains { $0.machine.sampling.oneIn > 1 }
    for index in domains.indices {
      let flows = surveys[index].flows
      func seenOf(_ flow: Int) -> UInt32 { seen[flows.ids[flow]] ?? flows.seen[flow] }
      func pathOfFlow(_ mask: UInt32) -> [Int] {
        flows.ids.indices.map { paths.choose(seen: seenOf($0) & mask) ?? Flight.none }
      }
      let onWire = isSampled ? pathOfFlow(HookPoint.wireBits) : nil
      var chosen = pathOfFlow(.max)
      leaveOutStrayReads(index, &chosen, table, seen: seenOf)
      followPackets(index, &chosen)
      findBlind(index, chosen, seen: seenOf)
      choices.append(PathChoice(ofFlow: chosen, ofTapped: onWire ?? chosen))
    }
  }

  func fill(_ result: inout SessionResult, on scratch: Scratch) throws(RecordingError) {
    var segments = [[SegmentResult]](repeating: [], count: paths.paths.count)
    var groups = segments
    var intervals = [[PITHistogram]](repeating: [], count: paths.paths.count)
    var hasPackets = [Bool](repeating: false, count: paths.paths.count)
    var firstPacket = 0
    for index in domains.indices {
      var plans = paths.paths.map { plan($0, in: domains[index], on: scratch) }
      for path in plans.indices {
        for segment in plans[path].segments.indices { plans[path].segments[segment].addParts(groupNames[index][path]) }
      }
      var joiner = Joiner(
        domains[index], surveys[index], choices[index], plans: plans, parts: groupNames[index].map(\.count),
        isToMany: surveys[index].flows.ids.map(toMany.contains),
        isStranger: surveys[index].flows.ids.map(strangers.contains), options: options, firstPacket: firstPacket,
        on: scratch)
      try joiner.join()
      plans = joiner.plans
      result.add(joiner.causality, domains[index])
      for path in plans.indices {
        if joiner.hasPackets[path] { hasPackets[path] = true }
        joiner.shares[path].fill(&plans[path])
        joiner.wires[path]?.fill(&plans[path])
        for segment in plans[path].segments {
          result.warnings += warnings(about: segment) + wireWarnings(about: segment, in: domains[index])
          let ends = wireEnds(segment.result, path: path, in: domains[index])
          segments[path].append(segment.result)
          segments[path][segments[path].count - 1].wireEnds = ends
          groups[path] += segment.parts.map { part in
            var part = part
            part.wireEnds = ends
            return part
          }
        }
        // Group by group, each in the order of the path.
        groups[path] = groupNames[index][path].flatMap { name in groups[path].filter { $0.group == name } }
      }
      let histograms = joiner.intervals.histograms(paths.paths)
      for path in histograms.indices { intervals[path] += histograms[path] }
      firstPacket += joiner.flight.journeyCount
      result.warnings += unusedWarnings(index) + joiner.ends.warnings(paths.paths, domains[index].hooks)
    }
    for path in paths.paths.indices where hasPackets[path] {
      result.warnings += noteOfPath[path].map { [$0] } ?? []
      result.warnings += blindWarnings(paths.paths[path])
      result.segments += segments[path].neighboursFirst
      for name in groups[path].map(\.group).uniqued() {
        result.groups += groups[path].filter { $0.group == name }.neighboursFirst
      }
      result.intervals += intervals[path]
    }
    result.segments = concurrentMap(result.segments) { $0.summarized }
    result.groups = concurrentMap(result.groups) { $0.summarized }
  }

  /// The segments of a path within a domain: neighbours, those the topology names, and end to end.
  private func plan(_ path: PathPlan, in domain: ClockDomain, on scratch: Scratch) -> PathPlanInDomain {
    func slots(_ hooks: [HookPoint]) -> [Int] {
      hooks.compactMap { domain.slot(of: $0) }
    }
    let regular = slots(path.regular)
    var plan = PathPlanInDomain(
      slots: regular, all: slots(path.declared), isWhole: regular.count == path.regular.count,
      isOneClock: regular.indices.map { $0 == 0 || domain.isOneClock(regular[$0 - 1], regular[$0]) },
      beginning: [[Int]](repeating: [], count: domain.hooks.count),
      ending: [[Int]](repeating: [], count: domain.hooks.count))
    func add(_ from: HookPoint, _ to: HookPoint, isNeighbour: Bool) {
      let blind = [from, to].filter(path.blind.contains)
      guard let start = domain.slot(of: from), let end = domain.slot(of: to), let first = domain.hooks[start],
        let last = domain.hooks[end],
        !plan.segments.contains(where: { $0.ends.from == start && $0.ends.to == end })
      else { return }
      plan.beginning[start].append(plan.segments.count)
      plan.ending[end].append(plan.segments.count)
      var result = SegmentResult(
        name: "\(from.name)-\(to.name)", direction: path.name, from: first.point, to: last.point,
        isNeighbour: isNeighbour, scratch: scratch)
      result.errorBound = domain.errorBound(start, end)
      if !blind.isEmpty {
        result.invalid = blind.map { PathPlan.reason($0, path.name) }.joined(separator: "; ")
      }
      plan.segments.append(
        SegmentPlan(
          ends: SegmentEnds(
            from: start, to: end, isOneClock: domain.isOneClock(start, end), isFromWire: from.isWire && !path.isWire,
            isToWire: to.isWire && !path.isWire, isInvalid: result.invalid != nil, errorBound: result.errorBound),
          result: result))
    }
    for (from, to) in zip(path.regular, path.regular.dropFirst()) { add(from, to, isNeighbour: true) }
    for (from, to) in path.occasional + path.aroundWire { add(from, to, isNeighbour: false) }
    for (from, to) in paths.namedSegments {
      guard let start = path.hooks.firstIndex(of: from), let end = path.hooks.firstIndex(of: to), start < end,
        from != path.regular.first || to != path.regular.last
      else { continue }
      add(from, to, isNeighbour: false)
    }
    for (from, to) in path.blindSegments { add(from, to, isNeighbour: false) }
    for hooks in [path.software, path.regular] {
      if let first = hooks.first, let last = hooks.last, first != last { add(first, last, isNeighbour: false) }
    }
    plan.inside = slots(path.inside)
    return plan
  }

  private func warnings(about segment: SegmentPlan) -> [String] {
    let name = "\(segment.result.direction) \(segment.result.name)"
    var lines: [String] = []
    if segment.negative > 0, segment.ends.isOneClock {
      lines.append("\(name): \(segment.negative) delays are negative: the clock is not the same at both ends")
    }
    if segment.passedUnseen > 0, segment.result.invalid == nil, segment.result.isNeighbour {
      lines.append(
        "\(name): \(segment.passedUnseen) packets were not seen at \(segment.result.to.hook.name) but behind it: they are not "
          + "lost, \(segment.result.to.hook.name) missed them (unmatched)")
    }
    if segment.notAsked > 0 {
      lines.append(
        "\(name): \(segment.notAsked) packets were not asked for at \(segment.result.to.hook.name), which recorded "
          + "nothing of their protocol and is only partly attached")
    }
    return lines
  }

  /// One line for each hook point that saw nothing of a path.
  private func blindWarnings(_ path: PathPlan) -> [String] {
    path.hooks.filter(path.blind.contains).map { hook in
      "\(PathPlan.reason(hook, path.name)): they did not come by it, or it does not fire here; its segments are INVALID"
    }
  }

  private func unusedWarnings(_ index: Int) -> [String] {
    surveys[index].unused.sorted { $0.key.rawValue < $1.key.rawValue }.map { hook, count in
      "\(count) stamps at \(hook.name), which is not attached or on no path: left out"
    }
  }
}

extension PathPlan {
  fileprivate static func reason(_ hook: HookPoint, _ path: String) -> String {
    "\(hook.name) saw none of the packets of \(path), which were seen behind it"
  }
}

extension SegmentPlan {
  fileprivate mutating func addParts(_ names: [String]) {
    parts = names.map { name in
      var part = result
      part.group = name
      return part
    }
  }
}

extension [SegmentResult] {
  fileprivate var neighboursFirst: [SegmentResult] { filter(\.isNeighbour) + filter { !$0.isNeighbour } }
}

extension SegmentResult {
  fileprivate var summarized: SegmentResult {
    var segment = self
    segment.summary = Summary(delays: delays, errorBound: errorBound)
    segment.successiveVariation = SuccessiveVariation(successive)
    return segment
  }
}

extension Sequence where Element: Hashable {
  /// Without repeats, in the order of the first ones.
  fileprivate func uniqued() -> [Element] {
    var known: Set<Element> = []
    return filter { known.insert($0).inserted }
  }
}
