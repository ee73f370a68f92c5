// SPDX-License-Identifier: GPL-2.0-or-later
internal import Pairing
internal import Recording

/// Takes the pairs out of a pairer, as a recording has them.
struct PairCollector {
  /// Most names that pairs of one recording may have.
  private static let nameLimit = 4096
  /// Datagrams that Linux puts into one packet at most.
  private static let mostSegments = 128

  let pairer: Pairer
  /// Those that are held.
  private(set) var pairs: [RecordedPair] = []
  /// Takes them where they become too many; nil: all are held.
  private let spill: PairSpill?
  /// Why pairs could not be put away: none was taken from then on.
  private(set) var failure: RecordingError?
  private var numbers: [String: UInt16] = [:]
  private var names: [PairingAccount.Name] = []
  /// Pairs that were left out because there were too many names.
  private var nameless = 0

  /// Pairs so far, wherever they are.
  var count: Int { pairs.count + (spill?.count ?? 0) }

  init(_ pairer: Pairer, spill: PairSpill? = nil) {
    self.pairer = pairer
    self.spill = spill
  }

  mutating func take() {
    for (kind, found) in pairer.takePairsByProtocol() {
      for pair in found {
        guard let number = number(of: pair.name, kind) else {
          nameless += 1
          continue
        }
        if let spill, pairs.count == spill.limit { putAway(spill) }
        pairs.append(
          RecordedPair(
            name: number, start: pair.start, end: pair.end, last: pair.endLast, isRepeated: pair.retransmitted))
      }
    }
  }

  private mutating func putAway(_ spill: PairSpill) {
    if failure == nil {
      do throws(RecordingError) { try spill.take(&pairs) } catch { failure = error }
    }
    if failure != nil { pairs = [] }
  }

  private mutating func number(of name: String, _ kind: String) -> UInt16? {
    if let number = numbers[name] { return number }
    guard names.count < PairCollector.nameLimit else { return nil }
    let number = UInt16(names.count)
    numbers[name] = number
    names.append(PairingAccount.Name(name: name, ofProtocol: kind))
    return number
  }

  /// The capture is over: all pairs and counts, as the recording of `machine`; without pairs where they are on disk.
  /// - Parameter leftOut: packets that came and were not looked at.
  mutating func finish(_ machine: Machine, stoppedBy reason: String, leftOut: UInt64 = 0) -> MachineRecording {
    pairer.finish()
    take()
    // A name all of whose requests were lost has a segment, too.
    for (name, kind, tally) in pairer.ledger.names where tally.requests > tally.silent { _ = number(of: name, kind) }
    var recording = MachineRecording(machine: machine)
    if let spill, spill.count > 0 {
      putAway(spill)
      pairs = []
      recording.machine.startedAt = UInt64(clamping: spill.earliestStart)
      recording.machine.stoppedAt = UInt64(clamping: spill.latestEnd)
    } else {
      swap(&recording.pairs, &pairs)
      recording.pairs.sort { $0.end < $1.end }
      recording.machine.startedAt = recording.pairs.lazy.map { UInt64(clamping: $0.start) }.min() ?? 0
      recording.machine.stoppedAt = UInt64(clamping: recording.pairs.last?.end ?? 0)
    }
    recording.machine.stoppedBy = reason
    recording.machine.pairing = pairing(lost: Count(leftOut) + machine.ledger.sum(\.lost))
    return recording
  }

  /// - Parameter lost: packets that are missing from the capture.
  private func pairing(lost: Count) -> PairingAccount {
    let ledger = pairer.ledger
    // Each may have been an answer, or several: so many requests are not known to be without one.
    let hidden = ledger.packets.fragments + ledger.packets.perhapsSeveral * PairCollector.mostSegments
    let missing = (lost + Count(hidden)).value
    var packets = [
      "packets": ledger.packets.packets, Capture.notIP: ledger.packets.notIP,
      "other_protocols": ledger.packets.otherProtocols, Capture.cutHeaders: ledger.packets.cutHeaders,
      PairingAccount.perhapsSeveral: ledger.packets.perhapsSeveral,
      PairingAccount.fragments: ledger.packets.fragments,
      Capture.malformed: ledger.packets.malformed, "truncated": ledger.packets.truncated,
      "evicted_connections": ledger.packets.evictedConnections,
    ]
    if nameless > 0 { packets["pairs_of_too_many_names"] = nameless }
    var tallies: [String: [String: PairTally]] = [:]
    for (name, kind, tally) in ledger.names { tallies[kind, default: [:]][name] = tally }
    return PairingAccount(
      names: names.map { name in
        var name = name
        name.counts = tallies[name.ofProtocol]?[name.name]?.doubting(missing).counts.mapValues { Count($0) }
        return name
      },
      protocols: ledger.protocols.map {
        PairingAccount.Tally(name: $0.name, counts: $0.tally.doubting(missing).counts)
      },
      packets: packets)
  }
}

extension PairTally {
  /// Of the unanswered requests as many as packets are missing are abandoned: the capture cannot tell.
  fileprivate func doubting(_ missing: Int) -> PairTally {
    var tally = self
    let doubtful = min(unanswered, missing)
    tally.unanswered -= doubtful
    tally.abandoned += doubtful
    return tally
  }

  /// By the names of `docs/pairing.md`, without those that are 0.
  fileprivate var counts: [String: Int] {
    let all = [
      "requests": requests, "paired": paired, "retransmitted": retransmitted, "unanswered": unanswered,
      "refused": refused, "silent": silent, "abandoned": abandoned, "evicted": evicted,
      "repeated_requests": repeatedRequests,
      "provisional": provisional, "repeated_responses": repeatedResponses, "unmatched_responses": unmatchedResponses,
      "gaps": gaps, "truncated": truncated, "malformed": malformed, "ambiguous": ambiguous, "disordered": disordered,
      "unread_bytes": unreadBytes,
    ]
    return all.filter { $0.value > 0 || $0.key == "requests" || $0.key == "paired" }
  }
}

extension Machine {
  /// Whose times are those of a capture.
  ///
  /// No machine's boot: nobody else has this clock, so that nothing is joined to it without an alignment.
  mutating func takeCaptureClock(session: String) {
    bootID = "capture-\(session)"
    paths = [Path(name: "wire", hooks: [HookPoint.wireIn.name, HookPoint.wireOut.name])]
  }
}
