// SPDX-License-Identifier: GPL-2.0-or-later

/// How the clock of a guest was compared with its host's; nanoseconds.
package struct GuestClock: Sendable, Equatable {
  /// What one method said.
  package struct Method: Sendable, Equatable {
    /// `tsc`, `ptp_kvm` or `exchange`.
    package var name: String
    /// ε: largest bound of the error over the run; nil if the method could not be used.
    package var error: Int64?
    /// How much faster the host's clock ran.
    package var driftPPM: Double?
    /// Counter readings, cross stamps or exchanges that it rests on.
    package var samples: Int
    /// Why it could not be used, one line.
    package var failure: String?
    /// How far it is from the method used, where that is the most beyond the errors of the two; nil for that method itself.
    package var disagreement: Int64?
    /// What the errors of the two allow there.
    package var allowance: Int64?

    package init(name: String) {
      self.name = name
      samples = 0
    }
  }

  /// Names of the machines' folders, several of one kernel joined by `+`.
  package var guest: String
  package var host: String
  /// ``TimedRecording/clock`` of the two.
  var clocks = (guest: 0, host: 0)
  /// The method whose times are used; nil if the clocks are not aligned.
  package var method: String?
  package var error: Int64?
  package var driftPPM: Double?
  package var samples: Int
  /// All methods, best first.
  package var methods: [Method]
  /// Least and greatest shift of the guest's times with which no packet arrives before it was sent: the packets' own
  /// word on the alignment. Either is nil where no packet went that way.
  package var packetsAllow: (least: Int64?, greatest: Int64?)

  package init(guest: String, host: String) {
    self.guest = guest
    self.host = host
    samples = 0
    methods = []
    packetsAllow = (nil, nil)
  }

  package static func == (a: GuestClock, b: GuestClock) -> Bool {
    (a.guest, a.host, a.method, a.error, a.samples) == (b.guest, b.host, b.method, b.error, b.samples)
      && a.driftPPM == b.driftPPM && a.methods == b.methods && a.packetsAllow == b.packetsAllow
  }
}
