// SPDX-License-Identifier: GPL-2.0-or-later

/// Everything one machine recorded; of hook points' stamps perhaps only where they lie on disk.
package struct MachineRecording: Sendable {
  package var machine: Machine
  /// In time order; empty where they are ``stored``.
  package var stamps: [Stamp]
  /// The stamps, where they are not held.
  package var stored: StoredStamps?
  /// Packets at a tap, in order of the time that the tap read them.
  package var wireStamps: [WireStamp]
  /// Requests and their answers at a tap, in order of their ends.
  package var pairs: [RecordedPair]
  /// In order of time.
  package var drops: [Drop]
  package var flows: [UInt32: Flow]
  /// This and the three below in order of time.
  package var clockSamples: [ClockSample]
  package var clockExchanges: [ClockExchange]
  package var clockCrosses: [ClockCross]
  package var guestCounters: [GuestCounter]
  /// Events by CTF type name: `stamp`, `stamp_held`, `flow`, `clock_sample` and so on.
  package var eventsByType: [String: Count]
  /// Sum of `events_discarded` over the streams of a CPU.
  package var discardedByCPU: [Int: Count]
  /// What could not be read, one clear line each (file, offset, what to do).
  package var damage: [String]
  /// Those of ``damage`` that no interruption leaves: numbers that cannot be.
  package var impossible: [String]

  /// How many stamps of hook points there are, and when the last one was.
  package var stampCount: Int { stored?.count ?? stamps.count }
  package var lastStampTime: UInt64? { stored.map(\.lastTime) ?? stamps.last?.time }

  package init(machine: Machine) {
    self.machine = machine
    stamps = []
    wireStamps = []
    pairs = []
    drops = []
    flows = [:]
    clockSamples = []
    clockExchanges = []
    clockCrosses = []
    guestCounters = []
    eventsByType = [:]
    discardedByCPU = [:]
    damage = []
    impossible = []
  }
}
