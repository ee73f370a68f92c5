// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
internal import Glibc
package import Recording
package import TestPackets
package import Timing

/// Does trials with a STAMP reflector at the far end: what is lost on either way counts.
package struct TrialRunner: Sendable {
  /// Bytes of a frame around the UDP payload: Ethernet with its check sequence, IP and UDP.
  package static func overhead(isIPv6: Bool) -> Int { isIPv6 ? 66 : 46 }

  private let peer: Destination
  package var tuning = ThreadTuning()
  package var key: TestKey?
  package var acceptedLoss = 0.0
  /// Nanoseconds by which a packet may leave late: loss in a trial with longer stalls may be due to the burst behind them.
  package var longestStall: Int64 = 10_000_000
  /// Nanoseconds of packets before the trial that are not counted.
  package var warmUp: Int64 = 100_000_000
  /// Nanoseconds before that in which packets are sent at the highest rate, so that buckets on the way are empty and queues
  /// full; not before bursts.
  package var drain: Int64 = 0
  /// Nanoseconds between those and the warm-up: what queues get rid of in it is room for a path that hesitates.
  private static let rest: Int64 = 20_000_000
  /// Errors of a send call that later packets meet too.
  private static let noWay = [ENETUNREACH, ENETDOWN]
  /// In which a sending thread is ready.
  private static let preparation: Int64 = 150_000_000
  /// Nanoseconds after the last packet in which its answer may come.
  package var patience: Int64 = 2_000_000_000

  package init(to peer: Destination) { self.peer = peer }

  /// Sends a few packets slowly, so that everybody on the way has learnt the addresses.
  ///
  /// - Returns: what the kernel refuses of the sending thread's scheduling, one line each; nil if it was stopped.
  /// - Throws: ``TrafficError`` if none is answered, or they do not fit.
  package func learn(frame: Int, stopRequested: () -> Bool) throws -> [String]? {
    var runner = self
    (runner.warmUp, runner.drain, runner.acceptedLoss) = (0, 0, 1)
    let done = try runner.perform(
      Benchmark.Plan(purpose: .search, frame: frame, rate: 50, duration: 0.2, highest: 50),
      stopRequested: stopRequested)
    guard let done else { return nil }
    if done.trial.answered > 0 { return done.warnings }
    if let heard = done.heard, !heard.isEmpty {
      throw TrafficError(
        "\(peer.name): no packet of \(frame) bytes was answered: \(Silence(peer: peer, heard: heard).reason)")
    }
    let whole = Reflection.shortest + TrialRunner.overhead(isIPv6: peer.isIPv6)
    let cut =
      frame < whole && key == nil ? " With --stateful or --key it answers no frames below \(whole) bytes." : ""
    throw TrafficError(
      "\(peer.name): no packet of \(frame) bytes was answered; is 'latprobe reflect' running there, and does nothing drop them?\(cut)"
    )
  }

  /// - Returns: nil if it was stopped.
  package func run(_ plan: Benchmark.Plan, stopRequested: () -> Bool) throws -> Trial? {
    try perform(plan, stopRequested: stopRequested)?.trial
  }

  private func perform(
    _ plan: Benchmark.Plan, stopRequested: () -> Bool
  ) throws -> (trial: Trial, warnings: [String], heard: HeardErrors?)? {
    let warmUp = plan.count == nil ? Int(plan.rate * Double(self.warmUp) / 1e9) : 0
    let counted = plan.count ?? max(1, Int(plan.rate * (plan.duration ?? 0)))
    let duration = plan.duration ?? Double(counted) / plan.rate
    let size = plan.frame - TrialRunner.overhead(isIPv6: peer.isIPv6)
    // Tells late answers to the trial before from this one's.
    let id = UInt16.random(in: 1...(.max))
    var socket = try UDPSocket(to: peer, stampedBy: .nobody)
    // Two seconds' worth may wait to be taken, one is for good measure.
    let window = Int((Double(patience) / 1e9 + 3) * plan.rate) + 4096
    var tally = TrialTally(first: warmUp, longestStall: longestStall, window: window)
    seeClocks(&tally)
    let drain = plan.count == nil ? self.drain : 0
    let start = Instant<Monotonic>.now.nanoseconds + max(TrialRunner.preparation, drain + TrialRunner.rest)
    // A burst takes as long as it takes; else what is not sent in time is not sent.
    let limit = plan.count == nil ? Int64((Double(warmUp) / plan.rate + duration) * 1e9) : nil
    var sending = PacedThread.Plan(pace: Pace(rate: plan.rate), size: size, session: id)
    (sending.start, sending.duration) = (drain > 0 ? start : nil, limit)
    (sending.count, sending.uncounted) = (UInt64(warmUp + counted), UInt64(warmUp))
    (sending.tuning, sending.key) = (tuning, key)
    let thread = PacedThread(sending, to: socket.sending)
    defer { thread.finish() }
    // A socket that nobody reads, and open to the end, so that the reflector is not told so.
    let drainage = try UDPSocket(to: peer, stampedBy: .nobody, room: 4096)
    defer { withExtendedLifetime(drainage) {} }
    if drain > 0 {
      flood(
        drainage.sending, size: size, rate: plan.highest, from: start - TrialRunner.rest - drain, for: drain,
        stopRequested)
    }
    var clocksDue = Instant<Monotonic>.now.nanoseconds
    while thread.state.stoppedBy == nil {
      if case let now = Instant<Monotonic>.now.nanoseconds, now >= clocksDue {
        seeClocks(&tally)
        clocksDue = now + 100_000_000
      }
      if stopRequested() { return nil }
      if thread.state.heard == ECONNREFUSED || socket.lastError == ECONNREFUSED { break }
      if TrialRunner.noWay.contains(thread.state.refused.error) { break }
      socket.wait(until: Instant(nanoseconds: Instant<Monotonic>.now.nanoseconds + 20_000_000))
      take(&socket, thread, id, size: size, &tally)
    }
    thread.finish()
    let state = thread.state
    if state.refused.error == EMSGSIZE {
      throw TrafficError(
        "frames of \(plan.frame) bytes are longer than the device's MTU allows; leave them out of --sizes")
    }
    take(&socket, thread, id, size: size, &tally)
    if state.heard == ECONNREFUSED || socket.lastError == ECONNREFUSED {
      try hear(&socket)
      var silence = Silence(peer: peer, heard: socket.heard)
      silence.error = ECONNREFUSED
      throw TrafficError("\(peer.name): \(silence.reason)")
    }
    if TrialRunner.noWay.contains(state.refused.error) {
      throw TrafficError(
        "no way to \(peer.name): \(unsafe String(cString: strerror(state.refused.error))); see 'ip route get'")
    }
    let end = Instant<Monotonic>.now.nanoseconds + patience
    while !tally.isComplete, case let now = Instant<Monotonic>.now.nanoseconds, now < end {
      if stopRequested() { return nil }
      socket.wait(until: Instant(nanoseconds: min(now + 50_000_000, end)))
      take(&socket, thread, id, size: size, &tally)
    }
    seeClocks(&tally)
    var trial = Trial(purpose: plan.purpose, frame: plan.frame, rate: plan.rate, duration: duration)
    tally.finish(
      &trial, due: counted, refused: Int(state.refused.count), ownDrops: socket.drops, acceptedLoss: acceptedLoss)
    trial.refusal = state.refused.error
    return (trial, state.warnings, socket.heard)
  }

  /// - Parameters:
  ///   - rate: packets a second.
  ///   - start: CLOCK_MONOTONIC.
  private func flood(
    _ socket: UDPSocket.Sending, size: Int, rate: Double, from start: Int64, for length: Int64,
    _ stopRequested: () -> Bool
  ) {
    for number in 0..<Int(Double(length) * rate / 1e9) {
      let due = start + Int64(Double(number) * 1e9 / rate)
      while case let now = Instant<Monotonic>.now.nanoseconds, now < due, !stopRequested() {
        _ = AbsoluteSleep().wait(until: Instant(nanoseconds: min(due, now + 50_000_000)))
      }
      guard !stopRequested() else { return }
      guard Instant<Monotonic>.now.nanoseconds < start + length else { return }
      // A reflector answers no number again and again.
      let packet = TestPacket(sequence: UInt32(truncatingIfNeeded: number), time: Instant<Realtime>.now.nanoseconds)
      _ = socket.send(packet.bytes(size: size, key: key))
    }
  }

  private func take(
    _ socket: inout UDPSocket, _ thread: PacedThread, _ id: UInt16, size: Int, _ tally: inout TrialTally
  ) {
    var answers: [(sequence: UInt32, time: Int64)] = []
    while answers.count < 10_000, let answer = socket.nextAnswer() {
      guard let reflection = Reflection(payload: answer.payload, ofRequest: size, key: key),
        reflection.session == id || reflection.session == 0
      else { continue }
      answers.append((reflection.senderSequence, answer.time ?? Instant<Realtime>.now.nanoseconds))
    }
    try? hear(&socket)
    // Last: whatever was answered is among them by now.
    for packet in thread.take() { tally.sent(packet) }
    for answer in answers { tally.came(answer.sequence, at: answer.time) }
  }

  /// Takes what was said of packets, so that it takes no room from answers.
  private func hear(_ socket: inout UDPSocket) throws(TrafficError) { while try socket.nextStamp() != nil {} }

  private func seeClocks(_ tally: inout TrialTally) {
    let clocks = ClockReading.now()
    tally.sawClocks(offset: clocks.realtime.nanoseconds - clocks.monotonic.nanoseconds, window: clocks.window)
  }
}
