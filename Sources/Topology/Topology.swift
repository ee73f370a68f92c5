// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// A topology file in memory: hook points, the ways to attach each of them, paths and segments.
///
/// Pure: it knows nothing of the running kernel. ``resolve(facts:programs:side:)`` weighs it against one.
package struct Topology: Sendable, Equatable {
  /// The highest `format:` this version reads.
  package static let currentFormat = 1
  /// Largest file accepted, bytes.
  package static let sizeLimit = 1 << 20

  package var name: String
  /// One line for people.
  package var summary: String
  /// As given to ``init(yaml:file:)``; error messages start with it.
  package var file: String
  /// In the order of the file.
  package var hooks: [Hook]
  /// In the order of the file; every hook of a path is one of ``hooks``.
  package var paths: [Path]
  /// Longer segments of interest; both ends lie in order on at least one path.
  package var segments: [Segment]
  /// What lies between two hook points of a path, for people: `qdisc`, by the segment's name.
  package var segmentNames: [String: String]

  /// Sides that have at least one hook point.
  package var sides: Set<Side> { Set(hooks.map(\.side)) }

  /// The machine, container or namespace a hook point belongs to.
  package enum Side: String, CaseIterable, Sendable, Codable {
    case guest, host
  }

  /// What a hook point looks at, so that the recorder knows which interfaces or sockets to let through.
  package enum Watch: String, CaseIterable, Sendable, Codable {
    /// A network interface inside the guest.
    case guestDevice = "guest-device"
    /// A network interface of the host: a NIC, a veth's host end.
    case hostDevice = "host-device"
    /// The host's end of a guest's device: its tap.
    case guestTap = "guest-tap"
    /// The sockets of the guest (where guest and host are one: of the watched namespace).
    case guestSocket = "guest-socket"
  }

  /// What a candidate attaches to; decides its ladder of rungs.
  package enum SymbolKind: String, CaseIterable, Sendable, Codable {
    case tracepoint, function
  }

  /// One way to reach a hook point.
  package struct Candidate: Sendable, Equatable {
    package var kind: SymbolKind
    package var symbol: String
    /// Further symbols of the same kind that must be attached with it, on the same rung.
    package var with: [String]
    /// The rungs to try, best first: the kind's whole ladder unless the file names some.
    package var rungs: [Rung]
    package var location: Location

    /// For people: `tracepoint sys_enter with net_dev_queue`.
    package var description: String {
      "\(kind.rawValue) \(symbol)" + (with.isEmpty ? "" : " with \(with.joined(separator: ", "))")
    }
  }

  /// One of several ways to reach a hook point that complete each other, such as `tcp` and `udp`.
  package struct Part: Sendable, Equatable {
    /// Nil where the hook has candidates of its own and no parts.
    package var name: String?
    /// Best first.
    package var candidates: [Candidate]
  }

  package struct Hook: Sendable, Equatable {
    package var point: HookPoint
    package var side: Side
    package var watch: Watch
    /// Left out quietly where the kernel cannot have it.
    package var isOptional: Bool
    /// Of the packets of tunnels (VXLAN, Geneve) the one within is looked at.
    package var looksWithin = false
    /// At least one.
    package var parts: [Part]
    package var location: Location
  }

  /// Two hook points, `from` before `to` on a path.
  package struct Segment: Sendable, Equatable {
    package var from: HookPoint
    package var to: HookPoint

    package var name: String { "\(from.name)-\(to.name)" }
  }

  /// Line and column in the file, both from 1; columns count Unicode scalars.
  package struct Location: Sendable, Equatable {
    package var line: Int
    package var column: Int

    package init(line: Int, column: Int) {
      self.line = line
      self.column = column
    }
  }
}
