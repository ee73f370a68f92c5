// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// The form that `latprobe hooks --json` prints: what is not there is null, never left out.
extension ResolvedTopology: Encodable {
  private enum CodingKeys: String, CodingKey {
    case topology, summary, file, kernel, side, hooks, paths, segments, names, warnings
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(topology.name, forKey: .topology)
    try container.encode(topology.summary, forKey: .summary)
    try container.encode(topology.file, forKey: .file)
    try container.encode(kernel, forKey: .kernel)
    try container.encode(side, forKey: .side)
    try container.encode(hooks, forKey: .hooks)
    try container.encode(topology.paths, forKey: .paths)
    try container.encode(topology.segments.map(\.name), forKey: .segments)
    try container.encode(topology.segmentNames, forKey: .names)
    try container.encode(warnings, forKey: .warnings)
  }
}

extension ResolvedHook: Encodable {
  private enum CodingKeys: String, CodingKey {
    case name, side, watch, optional, within, parts
    case attachedAs = "attached_as"
    case absentBecause = "absent_because"
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(point.name, forKey: .name)
    try container.encode(side, forKey: .side)
    try container.encode(watch, forKey: .watch)
    try container.encode(isOptional, forKey: .optional)
    try container.encode(looksWithin, forKey: .within)
    try container.encode(attachedAs, forKey: .attachedAs)
    try container.encode(absentBecause, forKey: .absentBecause)
    try container.encode(parts, forKey: .parts)
  }
}

extension ResolvedPart: Encodable {
  private enum CodingKeys: String, CodingKey {
    case name, rung, symbol, with, programs, tried
    case attachedAs = "attached_as"
    case absentBecause = "absent_because"
    case absence
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(name, forKey: .name)
    try container.encode(probe?.description, forKey: .attachedAs)
    try container.encode(probe?.rung, forKey: .rung)
    try container.encode(probe?.symbol, forKey: .symbol)
    try container.encode(probe?.with ?? [], forKey: .with)
    try container.encode(probe?.programs ?? [], forKey: .programs)
    try container.encode(absence?.reason, forKey: .absentBecause)
    try container.encode(absence?.kind, forKey: .absence)
    try container.encode(attempts.map(\.description), forKey: .tried)
  }
}

extension ResolvedTopology {
  /// The paths as `machine.json` holds them: whole, absent hook points included.
  package var recordedPaths: [Path] { topology.paths }

  /// What lies between two hook points, as `machine.json` holds it; null where the topology does not say.
  package var recordedSegmentNames: [String: String]? { topology.segmentNames.isEmpty ? nil : topology.segmentNames }

  /// The longer segments as `machine.json` holds them.
  package var recordedSegments: [String] { topology.segments.map(\.name) }
}
