// SPDX-License-Identifier: GPL-2.0-or-later

/// What a looped cable showed of two ports: how long a frame takes from the transmit stamp of one to the receive stamp of
/// the other. Times in nanoseconds.
package struct Calibration: Codable, Sendable, Equatable {
  package static let fileName = "calibration.json"
  package static let currentFormat = 1
  /// A frame that takes longer through the cable is lost.
  package static let patience: Int64 = 100_000_000

  package struct Port: Codable, Sendable, Equatable {
    package var name: String
    package var driver: String
    /// N of its PTP hardware clock's /dev/ptpN; null where it has none.
    package var hardwareClock: Int?

    enum CodingKeys: String, CodingKey {
      case name, driver
      case hardwareClock = "hardware_clock"
    }

    package init(name: String, driver: String, hardwareClock: Int?) {
      self.name = name
      self.driver = driver
      self.hardwareClock = hardwareClock
    }
  }

  /// Frames out of one port and into the other.
  package struct Direction: Codable, Sendable, Equatable {
    package var from: String
    package var to: String
    /// ``WireClock/name`` of the stamps at `from`, and at `to`.
    package var transmitClock: String
    package var receiveClock: String
    /// Frames stamped at both, and those stamped at `from` alone.
    package var count: Int
    package var lost: Int
    /// The median.
    package var constant: Int64
    /// Its 95 % confidence interval from order statistics, lower and upper bound.
    package var interval: [Int64]
    /// Bound of the error by comparing two clocks; 0 where both ends were stamped by one.
    package var error: Int64
    package var effectiveCount: Double
    package var least: Int64
    package var greatest: Int64

    enum CodingKeys: String, CodingKey {
      case from, to, count, lost
      case transmitClock = "transmit_clock"
      case receiveClock = "receive_clock"
      case constant = "constant_ns"
      case interval = "interval_ns"
      case error = "error_ns"
      case effectiveCount = "n_eff"
      case least = "min_ns"
      case greatest = "max_ns"
    }

    package init(
      from: String, to: String, transmitClock: String, receiveClock: String, count: Int, lost: Int, constant: Int64,
      interval: [Int64], error: Int64, effectiveCount: Double, least: Int64, greatest: Int64
    ) {
      self.from = from
      self.to = to
      self.transmitClock = transmitClock
      self.receiveClock = receiveClock
      self.count = count
      self.lost = lost
      self.constant = constant
      self.interval = interval
      self.error = error
      self.effectiveCount = effectiveCount
      self.least = least
      self.greatest = greatest
    }

    /// Both ends by hardware: a property of the ports. Else it is one of the software path, at that load.
    package var isHardware: Bool {
      transmitClock == WireClock.hardware.name && receiveClock == WireClock.hardware.name
    }

    /// What the constant adds to the error of a delay: the farther end of its interval, and the clocks' error.
    package var uncertainty: Int64 {
      max((interval.last ?? constant) - constant, constant - (interval.first ?? constant)) + error
    }
  }

  package var format: Int
  /// Of the recording that it was made of.
  package var session: String
  package var hostname: String
  /// Seconds since the Unix epoch, UTC.
  package var createdAt: Double
  package var ports: [Port]
  /// From the first port to the second, and back.
  package var directions: [Direction]

  /// The first direction's constant less the second's: the ports differ by this, or the way there and back.
  package var asymmetry: Int64
  /// The least and greatest difference of values in the two intervals.
  package var asymmetryInterval: [Int64]

  enum CodingKeys: String, CodingKey {
    case format, session, hostname, ports, directions
    case createdAt = "created_at_s"
    case asymmetry = "asymmetry_ns"
    case asymmetryInterval = "asymmetry_interval_ns"
  }

  /// - Parameter directions: there and back, each with its interval.
  package init(
    session: String, hostname: String, createdAt: Double, ports: [Port], there: Direction, back: Direction
  ) {
    format = Calibration.currentFormat
    self.session = session
    self.hostname = hostname
    self.createdAt = createdAt
    self.ports = ports
    directions = [there, back]
    asymmetry = there.constant - back.constant
    asymmetryInterval = [
      (there.interval.first ?? 0) - (back.interval.last ?? 0), (there.interval.last ?? 0) - (back.interval.first ?? 0),
    ]
  }

  /// Writes it as `calibration.json` into `directory`, whole or not at all.
  package func write(to directory: String) throws(RecordingError) {
    let bytes = try JSONFile.encode(self, "\(directory)/\(Calibration.fileName)")
    try Folder(directory).replace(Calibration.fileName, bytes)
  }

  package static func load(_ path: String) throws(RecordingError) -> Calibration {
    let found = try JSONFile.decode(Calibration.self, path, reads: currentFormat)
    // Sums with delays must not overflow.
    let sane = -1_000_000_000_000...1_000_000_000_000 as ClosedRange<Int64>
    for direction in found.directions {
      let times = direction.interval + [direction.constant, direction.error]
      guard direction.interval.count == 2, times.allSatisfy(sane.contains), direction.error >= 0,
        direction.interval[0] <= direction.constant, direction.constant <= direction.interval[1]
      else { throw RecordingError(.damaged, path: path, "is damaged (constant and interval contradict each other)") }
    }
    return found
  }
}
