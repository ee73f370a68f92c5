// SPDX-License-Identifier: GPL-2.0-or-later
package import Analysis
import Recording

extension Report {
  /// `report.json` as docs/schema/report.schema.json describes it. Times are nanoseconds; what cannot be given is null.
  package static func json(_ result: SessionResult) -> JSONValue {
    .fields([
      ("format", .integer(1)),
      ("session", session(result.session)),
      ("segments", .array(result.segments.map(segment))),
      ("groups", .array(result.groups.map(segment))),
      ("hooks", .array(result.hooks.map(hook))),
      ("recording", recording(result)),
      ("clock", clock(result)),
      ("calibrations", .array(result.calibrations.map(calibration))),
      ("pit", .array(result.intervals.map(pit))),
      ("machines", .array(result.machines.map(machine))),
      ("warnings", .array(result.warnings.map { .string($0) })),
    ])
  }

  private static func session(_ session: Session) -> JSONValue {
    .fields([
      ("id", .string(session.id)),
      ("members", .array(session.members.map { .string($0) })),
      ("labels", .map(session.labels)),
      ("command_line", .array(session.commandLine.map { .string($0) })),
      ("created_at_s", .number(session.createdAt)),
    ])
  }

  private static func segment(_ segment: SegmentResult) -> JSONValue {
    .fields(
      [
        ("name", .string(segment.name)),
        ("direction", .string(segment.direction)),
        ("group", .optional(segment.group)),
        ("meaning", .optional(segment.meaning)),
        ("invalid", .optional(segment.invalid)),
        ("from_machine", .string(segment.from.machine)),
        ("to_machine", .string(segment.to.machine)),
        ("neighbour", .bool(segment.isNeighbour)),
        ("count", .count(segment.count)),
        ("lost", .count(segment.lost)),
        ("dropped", .map(segment.dropped.mapValues { Count($0) })),
        ("discarded", .map(segment.discarded.mapValues { Count($0) })),
        ("not_asked", .count(segment.notAsked)),
        ("unmatched", .count(segment.unmatched)),
        ("ambiguous", .count(segment.ambiguous)),
        ("duplicate", .count(segment.duplicate)),
        ("late", .count(segment.late)),
        ("cut_off", .count(segment.cutOff)),
        ("loss", .optional(segment.loss)),
        ("share", .optional(segment.share)),
        ("share_slowest", .optional(segment.slowShare)),
        ("n_slowest", segment.share == nil ? .null : .count(segment.slowCount)),
        ("probe_ns", .optional(segment.probeTime)),
        ("mostly_probes", segment.probeTime == nil ? .null : .bool(segment.isMostlyProbes)),
        ("error_ns", .integer(segment.errorBound)),
      ] + figures(segment.summary) + [
        (
          "queues",
          .array(
            segment.byQueue.map { queue, summary in
              .fields([("queue", .count(Int(queue))), ("count", .count(summary.count))] + figures(summary))
            })
        ),
        ("wire", segment.wire.map(wire) ?? .null),
        ("pdv", pdv(segment)),
        ("ipdv", ipdv(segment)),
      ])
  }

  private static func wire(_ wire: WireDelay) -> JSONValue {
    .fields([
      ("software", .string(wire.software)),
      ("count", .count(wire.explained.count)),
      ("explained", .fields(figures(wire.explained))),
      ("unexplained", .fields(figures(wire.unexplained))),
    ])
  }

  /// What the delays look like.
  static func figures(_ summary: Summary?) -> [(String, JSONValue)] {
    func quantile(_ probability: Double) -> Quantile? { summary?.quantile(probability) }
    var fields: [(String, JSONValue)] = [
      ("n_eff", .optional(summary?.effectiveCount)),
      ("min_ns", .optional(summary?.min)),
      ("mean_ns", .optional(summary?.mean)),
      ("sd_ns", .optional(summary?.standardDeviation)),
      ("mad_ns", .optional(summary?.medianAbsoluteDeviation)),
      ("half_iqr_ns", .optional(summary?.halfInterquartileRange)),
    ]
    for probability in Summary.probabilities {
      fields.append((Text.quantileKey(probability) + "_ns", .optional(quantile(probability)?.value)))
    }
    fields.append(("max_ns", .optional(summary?.max)))
    let intervals = Summary.probabilities.map { probability -> (String, JSONValue) in
      let interval = quantile(probability)?.interval
      return (
        Text.quantileKey(probability),
        interval.map { .array([.integer($0.lowerBound), .integer($0.upperBound)]) } ?? .null
      )
    }
    let resolved = Summary.probabilities.map { probability -> (String, JSONValue) in
      (Text.quantileKey(probability), .bool(quantile(probability)?.isResolved ?? false))
    }
    return fields + [("intervals", .fields(intervals)), ("resolved", .fields(resolved))]
  }

  private static func hook(_ hook: HookResult) -> JSONValue {
    .fields([
      ("name", .string(hook.point.hook.name)),
      ("machine", .string(hook.point.machine)),
      ("attached_as", .optional(hook.attachedAs)),
      ("absent_because", .optional(hook.absentBecause)),
      ("seen", counted(hook.ledger.seen, at: hook)),
      ("filtered", counted(hook.ledger.filtered, at: hook)),
      ("sampled_out", counted(hook.ledger.sampledOut, at: hook)),
      ("emitted", counted(hook.ledger.emitted, at: hook)),
      ("lost", counted(hook.ledger.lost, at: hook)),
      ("unbound", counted(hook.ledger.unbound, at: hook)),
      ("missed", counted(hook.missed, at: hook)),
    ])
  }

  /// A hook point that was not attached has counted nothing: null, not 0.
  private static func counted(_ number: Count, at hook: HookResult) -> JSONValue {
    hook.attachedAs == nil && number == 0 ? .null : .count(number)
  }

  private static func recording(_ result: SessionResult) -> JSONValue {
    let byType = result.eventsByType.sorted { $0.key < $1.key }
    let discarded = result.discardedByCPU.sorted { $0.key < $1.key }.map { machine, cpus in
      (
        machine,
        JSONValue.fields(cpus.sorted { $0.key < $1.key }.map { (String($0.key), .count($0.value)) })
      )
    }
    return .fields([
      ("events_total", .count(byType.map(\.value).sum())),
      ("by_type", .fields(byType.map { ($0.key, .count($0.value)) })),
      ("discarded_by_cpu", .fields(discarded)),
      ("damage", .array(result.damage.map { .string($0) })),
    ])
  }

  private static func pit(_ histogram: PITHistogram) -> JSONValue {
    .fields([
      ("hook", .string(histogram.point.hook.name)),
      ("machine", .string(histogram.point.machine)),
      ("direction", .string(histogram.direction)),
      ("bin_width_ns", .integer(histogram.binWidth)),
      ("count", .count(histogram.count)),
      ("mean_ns", histogram.count > 0 ? .number(histogram.mean) : .null),
    ])
  }

  private static func machine(_ machine: Machine) -> JSONValue {
    .fields([
      ("name", .string(machine.name)),
      ("role", .string(machine.role)),
      ("hostname", .string(machine.hostname)),
      ("boot_id", .string(machine.bootID)),
      ("kernel", .string(machine.kernel)),
      ("architecture", .string(machine.architecture)),
      ("cpu_model", .string(machine.cpuModel)),
      ("cpus", .count(machine.cpus)),
      ("clock_source", .string(machine.clockSource)),
      ("topology", .string(machine.topology)),
      ("filter", .optional(machine.filter)),
      (
        "sampling",
        .fields([
          ("one_in", .unsigned(UInt64(machine.sampling.oneIn))),
          ("udp_by", .string(machine.sampling.udpBy)),
          ("tcp_by", .string(machine.sampling.tcpBy)),
        ])
      ),
      ("identity", .string(machine.identity)),
      ("stamp_cost_ns", .optional(machine.stampCost)),
      (
        "stamp_costs_ns",
        machine.stampCosts.map { .fields($0.sorted { $0.key < $1.key }.map { ($0.key, .number($0.value)) }) } ?? .null
      ),
      ("started_at_ns", .unsigned(machine.startedAt)),
      ("stopped_at_ns", .optional(machine.stoppedAt)),
      ("stopped_by", .optional(machine.stoppedBy)),
      (
        "rotation",
        .fields([
          ("deleted_streams", .count(machine.rotation.deletedStreams)),
          ("deleted_events", .count(machine.rotation.deletedEvents)),
          ("deleted_bytes", .count(machine.rotation.deletedBytes)),
        ])
      ),
      ("changes", .array((machine.changes ?? []).map(change))),
      ("pairing", machine.pairing.map(pairing) ?? .null),
      ("guests", .array((machine.guests ?? []).map(guest))),
      ("settings", .map(machine.settings)),
    ])
  }
}

extension Report {
  private static func change(_ change: Change) -> JSONValue {
    .fields([
      ("time_ns", .unsigned(change.time)),
      ("what", .string(change.what.rawValue)),
      ("device", .optional(change.device)),
      ("namespace", .optional(change.namespace)),
      ("id", .optional(change.id)),
      ("to", .optional(change.to)),
      ("cpu", change.cpu.map { .count($0) } ?? .null),
      ("by_ns", .optional(change.by)),
      ("hooks", .array(change.hooks.map { .string($0) })),
    ])
  }

  private static func pairing(_ pairing: PairingAccount) -> JSONValue {
    let protocols = pairing.protocols.map { tally in
      JSONValue.fields([("name", .string(tally.name)), ("counts", .map(tally.counts))])
    }
    return .fields([("protocols", .array(protocols)), ("packets", .map(pairing.packets))])
  }
}

extension Summary {
  /// The quantile computed for this probability, nil if there is none.
  func quantile(_ probability: Double) -> Quantile? {
    quantiles.first { abs($0.probability - probability) < 1e-9 }
  }
}
