// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// A hook point on one machine.
package struct Point: Sendable, Hashable {
  package var hook: HookPoint
  /// Name of the machine's folder in the session.
  package var machine: String

  package init(hook: HookPoint, machine: String) {
    self.hook = hook
    self.machine = machine
  }
}

/// The delays of one segment in one direction, and what could not be given a delay.
///
/// `delays`, `starts` and `packets` run in parallel, one entry a packet, in order of the starts; `queues` too, if asked for.
package struct SegmentResult: Sendable {
  /// `a-b`, for example `txg2-txh0`.
  package var name: String
  /// Name of the path it lies on.
  package var direction: String
  package var from: Point
  package var to: Point
  /// True for the segments between neighbours of the path, false for longer ones (end to end).
  package var isNeighbour: Bool
  /// t_to − t_from in nanoseconds; may be negative.
  package var delays: Column<Int64>
  /// Aligned time at `from` in nanoseconds; empty where the options do not ask for packets.
  package var starts: Column<UInt64>
  /// Number of the packet's journey in the session, from 0; of a sender's pairs, the packet's own. Empty like ``starts``.
  package var packets: Column<UInt32>
  /// Device queue at `from`; empty unless the options ask for it.
  package var queues: Column<UInt16>
  /// IPDV of the packets for which it is defined, by ``starts`` of the later one: ``SuccessiveVariation``.
  package var successive: Column<Int64>
  /// Summary of ``successive``; nil where it is empty.
  package var successiveVariation: SuccessiveVariation?
  /// Their sender numbered the packets, so that the order of sending and each loss in it are known.
  package var isNumbered: Bool
  /// Seen at `from`, never at `to`, although `to` recorded all the while without loss.
  package var lost: Int
  /// Of those lost: how many the kernel says that it threw away, by why.
  package var dropped: [String: Int]
  /// Seen at `from` and at the last device before the socket `to`, of a flow that no application read there: the kernel took
  /// it (a tunnel), a way of reading that is not seen, or nobody.
  package var notAsked: Int
  /// Seen at `from`, not at `to`, and the recording cannot tell whether it was lost.
  package var unmatched: Int
  /// Of those unmatched: copies for others that the kernel threw away (`OTHERHOST`), by why. Where the packets themselves went
  /// it does not tell.
  package var discarded: [String: Int]
  /// Left out because its key came more than once at `from` within the match window.
  package var ambiguous: Int
  /// Further copies at `to` of a packet already matched.
  package var duplicate: Int
  /// Seen at `to`, but after the match window.
  package var late: Int
  /// Seen at `from` too near the recording's end to ask for it at `to`.
  package var cutOff: Int
  /// Of the delays, those of packets seen at `from` as near the end as the ones of ``cutOff``: had they been lost, nobody
  /// would know.
  package var countNearEnd: Int
  /// Part of the end-to-end delay over journeys with all hook points of the path, 0 … 1; nil if there are none.
  package var share: Double?
  /// The same of the slowest 1 % of these journeys: those whose end-to-end delay is above p99; nil if there are none.
  package var slowShare: Double?
  /// How many journeys that rests on.
  package var slowCount: Int
  /// What lies between the hook points, for people (`qdisc`), as the topology has it; nil where it does not say.
  package var meaning: String?
  /// Of a group of flows, its name (`udp to 11111`); nil of all packets of the path.
  package var group: String?
  /// Why nothing can be said of the segment: a hook point at its end saw nothing where packets passed.
  package var invalid: String?
  /// What of each delay is the time that the probes at its ends take themselves, nanoseconds; nil if that is not known.
  package var probeTime: Double?
  /// Bound of the clock error in nanoseconds, 0 where both times come from one clock.
  package var errorBound: Int64
  /// Summary of `delays`; nil without samples.
  package var summary: Summary?
  /// From `wire-in` to `wire-out` through hook points: what of the delay they explain; else nil.
  package var wire: WireDelay?
  /// Between a tap's points: the two devices, if all packets pass the same ones; else empty.
  package var wireEnds: [WireEnd]

  /// - Parameter scratch: takes what grows with the number of packets; nil: it is held.
  package init(
    name: String, direction: String, from: Point, to: Point, isNeighbour: Bool, scratch: Scratch? = nil
  ) {
    self.name = name
    self.direction = direction
    self.from = from
    self.to = to
    self.isNeighbour = isNeighbour
    delays = Column(on: scratch)
    starts = Column(on: scratch)
    packets = Column(on: scratch)
    queues = Column(on: scratch)
    successive = Column(on: scratch)
    successiveVariation = nil
    isNumbered = false
    lost = 0
    dropped = [:]
    notAsked = 0
    unmatched = 0
    discarded = [:]
    ambiguous = 0
    duplicate = 0
    late = 0
    cutOff = 0
    countNearEnd = 0
    share = nil
    slowShare = nil
    slowCount = 0
    meaning = nil
    group = nil
    invalid = nil
    probeTime = nil
    errorBound = 0
    summary = nil
    wire = nil
    wireEnds = []
  }

  /// More than half of the median delay is the probes' own time.
  package var isMostlyProbes: Bool {
    guard let probeTime, let median = summary?.quantiles.first?.value else { return false }
    return Double(median) < 2 * probeTime
  }

  package var count: Int { delays.isEmpty ? summary?.count ?? 0 : delays.count }
  /// Packets that arrived, and of which a loss would have been known.
  package var countAsked: Int { count - countNearEnd }
  /// Part of the packets that were lost, 0 … 1, among those of which it is known; nil if there are none.
  package var loss: Double? {
    let asked = countAsked + lost
    return asked > 0 ? Double(lost) / Double(asked) : nil
  }

  /// The delays of each queue at `from`, ascending by queue; empty unless the options asked for queues.
  package var byQueue: [(queue: UInt16, summary: Summary)] {
    var delaysOfQueue: [UInt16: Column<Int64>] = [:]
    for (queue, delay) in zip(queues, delays) {
      delaysOfQueue[queue, default: Column(on: delays.scratch)].append(delay)
    }
    return delaysOfQueue.sorted { $0.key < $1.key }.compactMap { queue, delays in
      Summary(delays: delays, errorBound: errorBound).map { (queue, $0) }
    }
  }
}

/// A quantile with what is known about it.
package struct Quantile: Sendable, Equatable {
  /// As in `p99_9`: the probability, 0.999.
  package var probability: Double
  /// x₍⌈np⌉₎ in nanoseconds.
  package var value: Int64
  /// Confidence interval (95 %) from order statistics with the effective sample size; nil where it has no upper bound.
  package var interval: ClosedRange<Int64>?
  /// False where the interval has no upper bound or the value is smaller than its own clock error.
  package var isResolved: Bool
  /// n (1 − p) ≥ 10: the table prints it without a mark.
  package var hasEnoughSamples: Bool

  package init(
    probability: Double, value: Int64, interval: ClosedRange<Int64>?, isResolved: Bool, hasEnoughSamples: Bool
  ) {
    self.probability = probability
    self.value = value
    self.interval = interval
    self.isResolved = isResolved
    self.hasEnoughSamples = hasEnoughSamples
  }
}

/// What a segment's delays look like; nanoseconds.
package struct Summary: Sendable {
  package var count: Int
  /// Effective sample size for the p99 exceedance series.
  package var effectiveCount: Double
  package var min: Int64
  package var max: Int64
  package var mean: Double
  /// Sample standard deviation (n − 1); nil for n = 1.
  package var standardDeviation: Double?
  /// Median of |x − median|.
  package var medianAbsoluteDeviation: Int64
  /// Half of x₍⌈0.75n⌉₎ − x₍⌈0.25n⌉₎.
  package var halfInterquartileRange: Double
  /// p50, p90, p99, p99.9, p99.99, in this order.
  package var quantiles: [Quantile]
  /// The delays, ascending; empty where nobody will ask for them.
  package var sorted: Column<Int64>

  package init(
    count: Int, effectiveCount: Double, min: Int64, max: Int64, mean: Double, standardDeviation: Double?,
    medianAbsoluteDeviation: Int64, halfInterquartileRange: Double, quantiles: [Quantile], sorted: Column<Int64>
  ) {
    self.count = count
    self.effectiveCount = effectiveCount
    self.min = min
    self.max = max
    self.mean = mean
    self.standardDeviation = standardDeviation
    self.medianAbsoluteDeviation = medianAbsoluteDeviation
    self.halfInterquartileRange = halfInterquartileRange
    self.quantiles = quantiles
    self.sorted = sorted
  }
}

/// Packet interval times at one hook point: time between successive packets of a flow.
package struct PITHistogram: Sendable {
  package var point: Point
  package var direction: String
  /// Nanoseconds; bin i holds [i·width, (i+1)·width).
  package var binWidth: Int64
  /// Counts by bin index, only bins that are not empty, ascending.
  package var bins: [(index: Int64, count: Int)]
  package var count: Int
  package var mean: Double

  package init(
    point: Point, direction: String, binWidth: Int64, bins: [(index: Int64, count: Int)], count: Int, mean: Double
  ) {
    self.point = point
    self.direction = direction
    self.binWidth = binWidth
    self.bins = bins
    self.count = count
    self.mean = mean
  }
}

/// One hook point of one machine with the ledger summed over its CPUs.
package struct HookResult: Sendable {
  package var point: Point
  package var attachedAs: String?
  package var absentBecause: String?
  package var ledger: LedgerRow
  package var missed: Count

  package init(point: Point, attachedAs: String?, absentBecause: String?, ledger: LedgerRow, missed: Count) {
    self.point = point
    self.attachedAs = attachedAs
    self.absentBecause = absentBecause
    self.ledger = ledger
    self.missed = missed
  }
}

/// All that a report or a gate needs to know about one session.
package struct SessionResult: Sendable {
  package var session: Session
  package var machines: [Machine]
  /// Where columns of it are; nil: all are held. Whoever has read them asks it whether it could.
  package var scratch: Scratch?
  /// Paths in the topology's order, segments in path order, longer segments after the neighbours, end to end last.
  package var segments: [SegmentResult]
  /// The same of each group of flows, where a path has several and the options ask for them; path by path.
  package var groups: [SegmentResult]
  package var intervals: [PITHistogram]
  package var hooks: [HookResult]
  package var eventsByType: [String: Count]
  /// By machine, then CPU.
  package var discardedByCPU: [String: [Int: Count]]
  /// `same clock`, or how the machines' clocks were aligned; nil if they could not be.
  package var clockMethod: String?
  package var clockError: Int64?
  /// Each guest's clock, aligned or not.
  package var clocks: [GuestClock]
  /// Why the clocks cannot be trusted although they seem to be aligned, one clear line each: no gate passes.
  package var clockFaults: [String]
  /// What a calibration that was asked for did.
  package var calibrations: [AppliedCalibration]
  /// One clear line each.
  package var warnings: [String]
  /// What could not be read of the recordings, one clear line each: never taken for the whole, so no gate passes.
  package var damage: [String]
  /// Those of ``damage`` that no interruption leaves: machines left out, numbers that cannot be.
  package var impossible: [String]

  package init(session: Session, machines: [Machine]) {
    self.session = session
    self.machines = machines
    scratch = nil
    segments = []
    groups = []
    intervals = []
    hooks = []
    eventsByType = [:]
    discardedByCPU = [:]
    clockMethod = nil
    clockError = nil
    clocks = []
    clockFaults = []
    calibrations = []
    warnings = []
    damage = []
    impossible = []
  }
}

extension SessionResult {
  /// One line for each machine that did not send what was due: it offered less than it was asked for.
  package var unsentWarnings: [String] {
    machines.compactMap { machine in
      let (unsent, due) = machine.unsent
      return unsent > 0
        ? "\(machine.name): \(unsent) of \(due) packets that were due were not sent: they are in no loss" : nil
    }
  }

  /// One line if a machine's processor was emulated by QEMU: its times are those of the emulation.
  package var emulationWarning: String? {
    let names = machines.filter { $0.cpuModel.contains("QEMU TCG") }.map(\.name)
    guard !names.isEmpty else { return nil }
    return "\(names.joined(separator: ", ")): emulated processor: this shows function, not latency"
  }
}

extension Machine {
  /// Packets that `latprobe send` was to send and did not, the stack refusing them or time being over; of how many.
  package var unsent: (count: Count, due: Count) {
    let counts = pairing?.protocols.first { $0.name == "pacing" }?.counts ?? [:]
    return ((counts["refused"] ?? 0) + (counts["overdue"] ?? 0), counts["requests"] ?? 0)
  }
}
