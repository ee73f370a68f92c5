// SPDX-License-Identifier: GPL-2.0-or-later

extension Topology {
  /// Chooses, for each hook point and part, the first candidate and the best rung that this kernel has.
  ///
  /// A hook point that the kernel cannot have is absent, not an error.
  ///
  /// - Parameters:
  ///   - facts: the kernel.
  ///   - programs: names of the programs in the BPF object, `RUNG_SYMBOL`.
  ///   - side: resolve the hook points of this side alone; nil for all.
  /// - Throws: ``TopologyError`` for a candidate that this build has no program for on any rung, and for a side on
  ///   which the topology has no hook point.
  package func resolve(
    facts: KernelFacts, programs: Set<String>, side: Side? = nil
  ) throws(TopologyError) -> ResolvedTopology {
    try checkPrograms(programs)
    let chosen = hooks.filter { side == nil || $0.side == side }
    if let side, chosen.isEmpty {
      throw TopologyError(
        file: file, what: "topology \(name) has no hook point on the side `\(side.rawValue)`",
        remedy: "its side is \(sides.map(\.rawValue).sorted().joined(separator: " or ")); or leave --side out")
    }
    let resolved = chosen.map { hook in
      ResolvedHook(
        point: hook.point, side: hook.side, watch: hook.watch, isOptional: hook.isOptional,
        looksWithin: hook.looksWithin,
        parts: hook.parts.map { part in
          ResolvedPart(part, facts: facts, programs: programs)
        })
    }
    return ResolvedTopology(topology: self, kernel: facts.release, side: side, hooks: resolved)
  }

  /// Every candidate needs a rung on which this build has its program and those of its companions.
  private func checkPrograms(_ programs: Set<String>) throws(TopologyError) {
    for candidate in hooks.lazy.flatMap(\.parts).flatMap(\.candidates) {
      let symbols = [candidate.symbol] + candidate.with
      let ladder = candidate.rungs
      let usable = ladder.contains { rung in
        symbols.allSatisfy { programs.contains(rung.program(for: $0)) }
      }
      if usable { continue }
      let unknown = symbols.filter { symbol in
        !ladder.contains { programs.contains($0.program(for: symbol)) }
      }
      let named = unknown.isEmpty ? symbols.joined(separator: " with ") : unknown.joined(separator: ", ")
      let known = Topology.knownSymbols(ladder, in: programs)
      throw TopologyError(
        file: file, location: candidate.location,
        what: "this build of latprobe has no program for the \(candidate.kind.rawValue) \(named)"
          + (unknown.isEmpty ? " on one rung" : ladder.count == 1 ? " on \(ladder[0].rawValue)" : ""),
        remedy: known.isEmpty
          ? "it has none for any \(candidate.kind.rawValue)"
          : "it has them for \(known.joined(separator: " "))")
    }
  }

  private static func knownSymbols(_ ladder: [Rung], in programs: Set<String>) -> [String] {
    var symbols: Set<String> = []
    for rung in ladder {
      let prefix = rung.program(for: "")
      for program in programs where program.hasPrefix(prefix) {
        symbols.insert(String(program.dropFirst(prefix.count)))
      }
    }
    return symbols.sorted()
  }
}

extension ResolvedPart {
  fileprivate init(_ part: Topology.Part, facts: KernelFacts, programs: Set<String>) {
    name = part.name
    probe = nil
    attempts = []
    for candidate in part.candidates {
      switch ResolvedPart.climb(candidate, facts: facts, programs: programs) {
      case .success(let found):
        probe = found.probe
        if !found.passed.isEmpty { attempts.append(Attempt(candidate: candidate, obstacles: found.passed)) }
        return
      case .failure(let attempt): attempts.append(attempt)
      }
    }
  }

  private enum Climb {
    /// The obstacles are those of better rungs that were passed over.
    case success((probe: Probe, passed: [Attempt.Obstacle]))
    case failure(Attempt)
  }

  private static func climb(_ candidate: Topology.Candidate, facts: KernelFacts, programs: Set<String>) -> Climb {
    let symbols = [candidate.symbol] + candidate.with
    let missing = symbols.filter { !facts.has($0, candidate.kind) }
    guard missing.isEmpty else { return .failure(Attempt(candidate: candidate, obstacles: [.missing(missing)])) }

    var obstacles: [Attempt.Obstacle] = []
    for rung in candidate.rungs {
      if let absent = symbols.map({ rung.program(for: $0) }).first(where: { !programs.contains($0) }) {
        obstacles.append(.noProgram(rung, absent))
        continue
      }
      switch facts.status(of: rung) {
      case .ok:
        let probe = Probe(rung: rung, kind: candidate.kind, symbol: candidate.symbol, with: candidate.with)
        return .success((probe, obstacles))
      case .refused(let reason): obstacles.append(.refused(rung, reason))
      case .unsupported(let reason): obstacles.append(.unsupported(rung, reason))
      }
    }
    return .failure(Attempt(candidate: candidate, obstacles: obstacles))
  }
}
