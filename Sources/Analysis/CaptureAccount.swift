// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

extension Machine {
  /// The coarsest unit of the times of its capture files, nanoseconds; 0 where none is coarser than a nanosecond.
  ///
  /// Each time is cut off to its unit, so that a difference of two is less than the larger unit away from the truth.
  /// - Parameter hook: of the packets there; nil: of all.
  package func captureStep(at hook: HookPoint? = nil) -> Int64 {
    (captures ?? []).flatMap(\.interfaces).reduce(0) { step, interface in
      guard interface.packets > 0, hook == nil || interface.hook == hook?.name else { return step }
      return max(step, interface.step)
    }
  }

  /// Packets that are missing from what was paired.
  package var packetsMissing: Count { ledger.sum(\.lost) }

  /// IP fragments, which are not paired.
  package var fragments: Count { pairing?.packets[PairingAccount.fragments] ?? 0 }
}

extension SessionResult {
  /// What of a machine's captures makes its numbers less than they seem.
  mutating func addCaptureWarnings(_ machine: Machine) {
    for capture in machine.captures ?? [] {
      if let error = capture.error { warnings.append("\(machine.name): \(error)") }
    }
    guard let pairing = machine.pairing else {
      for interface in machine.interfaces ?? [] where interface.ringDrops > 0 {
        warnings.append(
          "\(machine.name): the tap had no room for \(interface.ringDrops) packets at \(interface.name): one that is missing "
            + "at its hook points counts as unmatched, not as lost")
      }
      return
    }
    let late = pairing.packets[PairingAccount.outOfOrder] ?? 0
    if late > 0 {
      warnings.append(
        "\(machine.name): \(late) packets came too far out of order and were left out: sort the capture, "
          + "reordercap IN OUT, and pair it again")
    }
    let steps = pairing.packets[PairingAccount.stepsBack] ?? 0
    if steps > 0 {
      let line =
        "\(machine.name): the clock of the capture went back \(steps) times by more than 100 ms: it was set, and delays then "
        + "are wrong, or captures were put together, which reordercap IN OUT sorts"
      warnings.append(line)
      clockFaults.append(line)
    }
    let missing = machine.packetsMissing
    if missing > 0 {
      warnings.append(
        "\(machine.name): \(missing) packets are missing from the capture; of the requests without an answer as many "
          + "count as unmatched, not as lost")
    }
    let several = pairing.packets[PairingAccount.perhapsSeveral] ?? 0
    if several > 0 {
      warnings.append(
        "\(machine.name): \(several) UDP packets are longer than 1500 bytes, as those are that hold several datagrams "
          + "(UDP_SEGMENT, UDP_GRO): these are not told apart here; capture where they are single, or pair at the device"
      )
    }
    let sets = pairing.packets[PairingAccount.clockSteps] ?? 0
    if sets > 0 {
      let line =
        "\(machine.name): CLOCK_REALTIME was set \(sets) times while packets were stamped by it: delays across that are "
        + "wrong; pair again"
      warnings.append(line)
      clockFaults.append(line)
    }
    if machine.fragments > 0 {
      warnings.append(
        "\(machine.name): \(machine.fragments) IP fragments were not paired; of the requests without an answer as many "
          + "count as unmatched, not as lost")
    }
  }
}
