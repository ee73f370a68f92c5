// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// Why a calibration cannot be made or used; one line.
package struct CalibrationError: Error, CustomStringConvertible, Equatable {
  package var description: String

  package init(_ description: String) { self.description = description }
}

extension Calibration {
  /// Fits the constants of the two ports whose looped frames a recording has.
  ///
  /// Each direction is looked at by itself, since each port may have a clock of its own; a port's stamps are the
  /// hardware's where it stamped nine frames in ten, else the kernel's.
  package init(_ recording: MachineRecording, session: Session) throws {
    let ports = recording.machine.interfaces ?? []
    guard ports.count == 2 else { throw CalibrationError("a calibration takes two ports, not \(ports.count)") }
    func direction(_ from: TapInterface, _ to: TapInterface) throws -> Direction {
      var part = recording
      part.wireStamps = recording.bestStamps(of: from.number, .wireOut) + recording.bestStamps(of: to.number, .wireIn)
      let result = try analyse(
        session: session, recordings: [part], options: AnalysisOptions(matchWindow: Calibration.patience))
      let ends = "\(from.name) and \(to.name)"
      guard let segment = result.segments.first(where: { $0.name == "wire-out-wire-in" && $0.wireEnds.count == 2 }),
        let summary = segment.summary, let median = summary.quantiles.first
      else {
        throw CalibrationError(
          "no frame came from \(from.name) to \(to.name): is there a cable between \(ends), and are both up?")
      }
      guard let interval = median.interval else {
        // For the median, which need not be those of the summary.
        let independent = Int(effectiveCount(of: segment.delays, exceeding: median.value))
        throw CalibrationError(
          "\(segment.count) frames from \(from.name) to \(to.name), worth \(independent) independent ones, "
            + "give no interval: send more with --count")
      }
      return Direction(
        from: from.name, to: to.name, transmitClock: segment.wireEnds[0].clock, receiveClock: segment.wireEnds[1].clock,
        count: segment.count, lost: segment.lost + segment.unmatched + segment.late + segment.cutOff,
        constant: median.value, interval: [interval.lowerBound, interval.upperBound], error: segment.errorBound,
        effectiveCount: summary.effectiveCount, least: summary.min, greatest: summary.max)
    }
    self.init(
      session: session.id, hostname: recording.machine.hostname, createdAt: session.createdAt,
      ports: ports.map { Port(name: $0.name, driver: $0.driver, hardwareClock: $0.hardwareClock) },
      there: try direction(ports[0], ports[1]), back: try direction(ports[1], ports[0]))
  }
}

extension MachineRecording {
  fileprivate func bestStamps(of interface: UInt8, _ hook: HookPoint) -> [WireStamp] {
    let all = wireStamps.filter { $0.interface == interface && $0.stamp.hook == hook }
    let hardware = all.filter { $0.clock == .hardware }
    let kernel = all.filter { $0.clock != .hardware }
    return 10 * hardware.count >= 9 * max(hardware.count, kernel.count) && !hardware.isEmpty ? hardware : kernel
  }
}

/// What a calibration did to a segment.
package struct AppliedCalibration: Sendable, Equatable {
  package var direction: String
  package var segment: String
  /// The ports whose constant it is, transmitting first.
  package var from: String
  package var to: String
  /// What was added to each delay, nanoseconds: the constant, or the constant taken off.
  package var added: Int64
  /// Of the constant, lower and upper bound.
  package var interval: [Int64]
  /// ``Calibration/Direction/uncertainty``.
  package var uncertainty: Int64
  package var isHardware: Bool
  /// When it was made: seconds since the Unix epoch, UTC.
  package var createdAt: Double

  package init(
    direction: String, segment: String, from: String, to: String, added: Int64, interval: [Int64], uncertainty: Int64,
    isHardware: Bool, createdAt: Double
  ) {
    self.direction = direction
    self.segment = segment
    self.from = from
    self.to = to
    self.added = added
    self.interval = interval
    self.uncertainty = uncertainty
    self.isHardware = isHardware
    self.createdAt = createdAt
  }
}

extension SessionResult {
  /// Corrects the segments between the two ports of a calibration; the recordings stay as they are.
  ///
  /// Stamps are taken inside of the ports. A packet that comes in at A and goes out at B is longer in the machine than
  /// between its stamps, by what A's receiver and B's transmitter take: the constant from B to A is added. One that goes
  /// out at A and comes back at B has the constant from A to B in its delay: it is taken off.
  package mutating func apply(_ calibration: Calibration) throws(CalibrationError) {
    for index in segments.indices where segments[index].wireEnds.count == 2 {
      let (first, last) = (segments[index].wireEnds[0], segments[index].wireEnds[1])
      let isOutside = segments[index].from.hook == .wireOut
      let (sender, receiver) = isOutside ? (first, last) : (last, first)
      let hosts = machines.filter { $0.name == first.machine || $0.name == last.machine }.map(\.hostname)
      guard hosts.allSatisfy({ $0 == calibration.hostname }),
        let constant = calibration.directions.first(where: {
          ($0.from, $0.to, $0.transmitClock, $0.receiveClock)
            == (sender.device, receiver.device, sender.clock, receiver.clock)
        })
      else { continue }
      segments[index].shift(
        by: isOutside ? -constant.constant : constant.constant, uncertainty: constant.uncertainty)
      calibrations.append(
        AppliedCalibration(
          direction: segments[index].direction, segment: segments[index].name, from: constant.from, to: constant.to,
          added: isOutside ? -constant.constant : constant.constant, interval: constant.interval,
          uncertainty: constant.uncertainty, isHardware: constant.isHardware, createdAt: calibration.createdAt))
    }
    guard calibrations.isEmpty else { return }
    let ports = calibration.directions.map {
      "\($0.from) (\($0.transmitClock)) to \($0.to) (\($0.receiveClock))"
    }
    throw CalibrationError(
      "the calibration is of \(ports.joined(separator: " and ")) on \(calibration.hostname): no segment here lies between "
        + "these ports with stamps of these clocks, so it was not applied; leave --calibration out")
  }
}

extension SegmentResult {
  fileprivate mutating func shift(by time: Int64, uncertainty: Int64) {
    delays = delays.map { $0.addingReportingOverflow(time).partialValue }
    errorBound += uncertainty
    summary = Summary(delays: delays, errorBound: errorBound)
    guard let parts = wire else { return }
    wire?.unexplained = parts.unexplained.shifted(by: time, uncertainty: uncertainty)
  }
}

extension Summary {
  /// All values later by the same time; what does not depend on the place stays.
  fileprivate func shifted(by time: Int64, uncertainty: Int64) -> Summary {
    var result = self
    result.min += time
    result.max += time
    result.mean += Double(time)
    result.sorted = sorted.map { $0 + time }
    result.quantiles = quantiles.map { old in
      var quantile = old
      quantile.value += time
      quantile.interval = old.interval.map { $0.lowerBound + time...$0.upperBound + time }
      quantile.isResolved = old.isResolved && quantile.value >= uncertainty
      return quantile
    }
    return result
  }
}
