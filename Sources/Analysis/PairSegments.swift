// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// The pairs of a tap as segments from `wire-in` to `wire-out`, one a name, so that reports and gates work on them.
///
/// A pair's delay runs to the first byte of the answer. Where answers take several packets, NAME`-last` runs to the last
/// byte. What became of the requests that have no pair is known by protocol: each of its segments shows all of it.
func pairSegments(_ recording: MachineRecording) -> [SegmentResult] {
  guard let pairing = recording.machine.pairing else { return [] }
  let machine = recording.machine.name
  let pairs = recording.pairs
  // There may be tens of millions: numbers take a tenth of the pairs' memory.
  var numbers = [[UInt32]](repeating: [], count: pairing.names.count)
  for (number, pair) in pairs.enumerated() where Int(pair.name) < numbers.count {
    numbers[Int(pair.name)].append(UInt32(truncatingIfNeeded: number))
  }
  return zip(pairing.names, numbers).flatMap { name, numbers in
    let counts = pairing.protocols.first { $0.name == name.ofProtocol }?.counts ?? [:]
    let sorted = numbers.sorted { pairs[Int($0)].start < pairs[Int($1)].start }
    func segment(_ suffix: String, _ end: (RecordedPair) -> Int64?) -> SegmentResult {
      var segment = SegmentResult(
        name: name.name + suffix, direction: name.ofProtocol, from: Point(hook: .wireIn, machine: machine),
        to: Point(hook: .wireOut, machine: machine), isNeighbour: false)
      segment.starts.reserveCapacity(sorted.count)
      segment.delays.reserveCapacity(sorted.count)
      segment.packets.reserveCapacity(sorted.count)
      for number in sorted {
        let pair = pairs[Int(number)]
        guard let end = end(pair) else { continue }
        segment.starts.append(UInt64(clamping: pair.start))
        segment.delays.append(end.subtractingReportingOverflow(pair.start).partialValue)
        segment.packets.append(number)
      }
      segment.lost = counts["unanswered"] ?? 0
      segment.unmatched = (counts["abandoned"] ?? 0) + (counts["evicted"] ?? 0)
      segment.ambiguous = counts["ambiguous"] ?? 0
      segment.duplicate = counts["repeated_requests"] ?? 0
      segment.summary = Summary(delays: segment.delays, errorBound: 0)
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
