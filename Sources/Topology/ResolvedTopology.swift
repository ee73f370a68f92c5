// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// A topology weighed against one kernel: what to attach for each hook point, or why it is absent.
///
/// A plan, not yet an attachment: where the kernel then refuses a probe that is listed here, that is an error of the
/// loader, not an absence.
package struct ResolvedTopology: Sendable, Equatable {
  package var topology: Topology
  /// Kernel release that it was resolved for.
  package var kernel: String
  /// The side asked for; nil for both.
  package var side: Topology.Side?
  /// Hook points of the side asked for, in file order, the absent ones included.
  package var hooks: [ResolvedHook]

  /// Hook points with at least one probe.
  package var attachedHooks: [ResolvedHook] { hooks.filter(\.isAttached) }

  /// The names of the BPF programs to load, without repeats: several hook points may share one.
  package var programs: Set<String> { Set(hooks.flatMap(\.probes).flatMap(\.programs)) }

  /// One line for each required hook point, or part of one, that is absent.
  package var warnings: [String] {
    hooks.filter { !$0.isOptional }.flatMap { hook in
      hook.parts.compactMap { part in
        part.absence.map { "\(hook.point.name)\(part.name.map { " (\($0))" } ?? "") is absent: \($0.reason)" }
      }
    }
  }
}

/// One BPF program, with its companions, on one rung.
package struct Probe: Sendable, Equatable, Hashable {
  package var rung: Rung
  package var kind: Topology.SymbolKind
  package var symbol: String
  /// Further symbols to attach on the same rung.
  package var with: [String]

  package init(rung: Rung, kind: Topology.SymbolKind, symbol: String, with: [String] = []) {
    self.rung = rung
    self.kind = kind
    self.symbol = symbol
    self.with = with
  }

  /// Names in the BPF object, the main one first.
  package var programs: [String] { ([symbol] + with).map { rung.program(for: $0) } }

  /// `tp_btf:sys_enter+net_dev_queue`.
  package var description: String { "\(rung.rawValue):" + ([symbol] + with).joined(separator: "+") }
}

package struct ResolvedHook: Sendable, Equatable {
  package var point: HookPoint
  package var side: Topology.Side
  package var watch: Topology.Watch
  /// Quietly left out where it is absent.
  package var isOptional: Bool
  /// As in ``Topology/Hook/looksWithin``.
  package var looksWithin = false
  /// At least one.
  package var parts: [ResolvedPart]

  package var probes: [Probe] { parts.compactMap(\.probe) }
  package var isAttached: Bool { parts.contains { $0.probe != nil } }

  /// `tp_btf:net_dev_queue`, or with parts `tcp=tp_btf:… udp=…`; nil where nothing is attached.
  package var attachedAs: String? {
    let found = parts.compactMap { part in
      part.probe.map { (part.name.map { "\($0)=" } ?? "") + $0.description }
    }
    return found.isEmpty ? nil : found.joined(separator: " ")
  }

  /// Why the whole hook point is absent; nil where at least one part is attached.
  package var absentBecause: String? {
    guard !isAttached else { return nil }
    return parts.compactMap { part in
      part.absence.map { (part.name.map { "\($0): " } ?? "") + $0.reason }
    }.joined(separator: "; ")
  }

  /// What is missing from a hook point that is attached: `udp: absent because …`.
  package var notes: [String] {
    guard isAttached else { return [] }
    return parts.compactMap { part in
      part.absence.map { "\(part.name ?? "it"): absent because \($0.reason)" }
    }
  }

  /// The form in which `machine.json` holds it.
  ///
  /// - Parameter watches: the devices or sockets it watches, for people.
  package func attachedHook(watches: [String] = []) -> AttachedHook {
    AttachedHook(
      name: point.name, attachedAs: attachedAs,
      absentBecause: absentBecause ?? (notes.isEmpty ? nil : notes.joined(separator: "; ")), watches: watches)
  }
}

package struct ResolvedPart: Sendable, Equatable {
  /// Nil where the hook has no parts.
  package var name: String?
  /// The candidate and rung to attach; nil where the part is absent.
  package var probe: Probe?
  /// What was tried before `probe`, and why it is not that, in order.
  package var attempts: [Attempt]

  /// Nil where the part is attached.
  package var absence: Absence? {
    guard probe == nil else { return nil }
    let refused = attempts.contains { attempt in
      attempt.obstacles.contains { if case .refused = $0 { true } else { false } }
    }
    return Absence(
      reason: attempts.map(\.description).joined(separator: "; "),
      kind: refused ? .refused : .notInThisKernel)
  }
}

/// Why something is absent, and whether anything can be done about it.
package struct Absence: Sendable, Equatable {
  package enum Kind: String, Sendable, Codable {
    /// This kernel cannot have it (or this build of latprobe has no program for what the kernel has).
    case notInThisKernel = "not_in_this_kernel"
    /// The kernel has the symbol but refuses to attach to it: a matter of privileges or lockdown.
    case refused
  }

  /// One line that names every candidate tried.
  package var reason: String
  package var kind: Kind
}

/// A candidate that could not be used.
package struct Attempt: Sendable, Equatable {
  package enum Obstacle: Sendable, Equatable {
    /// These symbols are not in this kernel, on whatever rung.
    case missing([String])
    case refused(Rung, String)
    case unsupported(Rung, String)
    /// The BPF object has no program for the symbol on this rung.
    case noProgram(Rung, String)
  }

  package var candidate: Topology.Candidate
  package var obstacles: [Obstacle]

  /// `function skb_consume_udp: fentry refused (EPERM), kprobe not built into this kernel`.
  package var description: String {
    let reasons = obstacles.map { obstacle in
      switch obstacle {
      case .missing(let symbols) where symbols == [candidate.symbol] && candidate.with.isEmpty:
        "not in this kernel"
      case .missing(let symbols): "this kernel has no \(symbols.joined(separator: " and no "))"
      case .refused(let rung, let reason): "\(rung.rawValue) refused (\(reason))"
      case .unsupported(let rung, let reason): "\(rung.rawValue) \(reason)"
      case .noProgram(let rung, let program): "\(rung.rawValue) has no program \(program) in this build"
      }
    }
    return "\(candidate.description): \(reasons.joined(separator: ", "))"
  }
}
