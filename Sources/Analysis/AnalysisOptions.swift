// SPDX-License-Identifier: GPL-2.0-or-later
import Wording

/// What a user may choose about an analysis.
package struct AnalysisOptions: Sendable, Equatable {
  /// How long after its stamp at `from` a packet may show up at `to`, in nanoseconds; two packets with one key
  /// that are farther apart than this are told apart by time.
  package var matchWindow: Int64
  /// Width of a bin of the packet interval times, in nanoseconds.
  package var pitBin: Int64

  /// Keep each delay's device queue, so that segments can be split by it.
  package var byQueue: Bool
  /// Keep each delay's time and the number of its packet.
  package var byPacket: Bool

  /// Only packets of these flows; nil for all.
  package var filter: FlowFilter?

  /// Also tell the packets of a path apart by these, where they differ.
  package var groupBy: [FlowKey]

  package init(
    matchWindow: Int64 = 1_000_000_000, pitBin: Int64 = 1_000, byQueue: Bool = false, byPacket: Bool = true,
    filter: FlowFilter? = nil, groupBy: [FlowKey] = []
  ) {
    self.byPacket = byPacket
    self.filter = filter
    self.groupBy = groupBy
    self.matchWindow = matchWindow
    self.pitBin = pitBin
    self.byQueue = byQueue
  }

  /// How long after the last stamp of a packet one with its key at a later hook point still counts as late; after that
  /// it is another packet whose key came back (a 16-bit IP id does), in nanoseconds.
  var lateness: Int64 { 10 * matchWindow }

  /// How much earlier than at `from` a stamp at `to` may be and still be of the same packet, in nanoseconds.
  ///
  /// A packet is never there before it left, but clocks of two CPUs err, by less than a microsecond as a rule.
  var slack: Int64 { min(matchWindow, 10_000) }

  /// The same between a tap's point and a hook point: the kernel stamps some packets for a tap after the hook point that
  /// they pass behind the wire, as late as it gathers or queues them there.
  var wireSlack: Int64 { min(matchWindow, 10_000_000) }
}

/// Why recordings cannot be analysed; each prints as one line.
package enum AnalysisError: Error, Equatable, CustomStringConvertible {
  case noRecordings
  case windowNotPositive(Int64)
  case binNotPositive(Int64)

  package var description: String {
    switch self {
    case .noRecordings:
      "no recording to analyse: name at least one directory that holds a machine's recording"
    case .windowNotPositive(let window):
      "match window of \(Words.duration(window)): it must be positive and at most 1 h"
    case .binNotPositive(let bin):
      "packet interval bin of \(Words.duration(bin)): it must be positive and at most 1 h"
    }
  }
}
