// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Synchronization
import Testing

@testable import Remote

/// A guest that says nothing any more, or a byte now and then, keeps its host waiting no longer than its grace.
@Suite struct StallingGuestTests {
  /// The first message that the guest does not say as it should.
  enum Phase: CaseIterable, Sendable { case prepared, firstPong, started, pong, lastPong, stopped, file, data, sent }
  enum Way: CaseIterable, Sendable { case stall, drip, flood }

  /// Follows the protocol with bytes of its own up to a phase.
  private struct Guest: ~Copyable {
    private let phase: Phase
    private let way: Way
    private var connection: Connection
    /// The frame's number; 0 was the welcome's.
    private var number: UInt64 = 1

    init(_ listener: borrowing Listener, _ phase: Phase, _ way: Way) throws {
      guard var connection = try listener.accept(timeout: 10_000) else {
        throw RemoteError(.timeout, "no host came")
      }
      try connection.welcome(key: nil, release: "1")
      self.connection = connection
      (self.phase, self.way) = (phase, way)
    }

    /// Says it, or what the guest does instead, until the host has gone.
    private mutating func say(_ message: Message, at point: Phase? = nil) throws {
      let bytes = Frame(type: message.kind.rawValue, number: number, payload: message.payload).encoded(seal: nil)
      number += 1
      guard point == phase else { return try put(bytes) }
      switch way {
      // With a look at what the host says now and then, as it ends by closing.
      case .stall: while true { try put([]) }
      case .drip:
        var sent = 0
        while true {
          try put(sent < bytes.count - 1 ? [bytes[sent]] : [])
          sent += 1
          usleep(100_000)
        }
      case .flood:
        while true {
          let progress = Message.progress(RemoteProgress())
          try put(Frame(type: progress.kind.rawValue, number: number - 1, payload: progress.payload).encoded(seal: nil))
          number += 1
        }
      }
    }

    private mutating func put(_ bytes: [UInt8]) throws {
      if bytes.isEmpty { return _ = try connection.receive(within: 100_000_000) }
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = unsafe rest.withUnsafeBytes { bytes in
          unsafe Glibc.send(connection.number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        }
        if count > 0 {
          rest = rest.dropFirst(count)
        } else if errno == EAGAIN {
          // The host does not read it: until it closes.
          usleep(1000)
        } else {
          throw RemoteError(.connection, "the host has gone")
        }
      }
    }

    /// The next message but questions about time, which are answered.
    private mutating func hear(answeringAt point: Phase) throws -> Message {
      while true {
        guard let message = try connection.receive(within: 5_000_000_000) else { continue }
        guard case .ping(let id) = message else { return message }
        try say(.pong(id: id, received: connection.receivedAt, sent: Connection.now), at: point)
      }
    }

    mutating func run() throws {
      _ = try hear(answeringAt: .firstPong)
      let prepared = PreparedRecording(machine: "guest-b", hostname: "b", bootID: "boot-b", hooks: [], warnings: [])
      try say(.prepared(prepared), at: .prepared)
      _ = try hear(answeringAt: .firstPong)
      try say(.started, at: .started)
      if phase == .lastPong {
        // The burst at the end comes faster than one in 50 ms.
        var last: Int64 = 0
        while case .ping(let id)? = try connection.receive(within: 5_000_000_000) {
          let isLast = connection.receivedAt - last < 20_000_000
          last = connection.receivedAt
          try say(.pong(id: id, received: last, sent: Connection.now), at: isLast ? .lastPong : nil)
        }
        throw RemoteError(.protocolViolation, "the host ended without its last questions")
      }
      _ = try hear(answeringAt: .pong)
      try say(.stopped(reason: "the host", directory: "/x"), at: .stopped)
      _ = try hear(answeringAt: .sent)
      try say(.file(.machine, size: 1000), at: .file)
      try say(.data([UInt8](repeating: 0x20, count: 1000)), at: .data)
      try say(.sent(files: 1, bytes: 1000), at: .sent)
    }
  }

  /// What the host makes of it: its error, and how long after the end of its own recording it knew.
  private func play(_ phase: Phase, _ way: Way) throws -> (RemoteError?, seconds: Double) {
    let scratch = try Scratch()
    let endpoint = Endpoint.unix(path: "\(scratch.path)/socket")
    let isListening = Mutex(false)
    let guest = Background<Bool> {
      let listener = try Listener(endpoint)
      isListening.withLock { $0 = true }
      var guest = try Guest(listener, phase, way)
      try guest.run()
      return true
    }
    for _ in 0..<10_000 where !isListening.withLock({ $0 }) { usleep(1000) }
    var patience = Patience()
    (patience.step, patience.preparation, patience.silence, patience.grace) = (
      900_000_000, 900_000_000, 900_000_000, 900_000_000
    )
    let folder = try Scratch()
    var failure: RemoteError?
    var begin = Date()
    do {
      let link = try RemoteGuest(
        endpoint, number: 0, key: nil, release: "1", request: sampleRequest(), patience: patience)
      let run = Background<Bool> {
        link.run(into: folder.path, limit: 1 << 20)
        return true
      }
      for _ in 0..<20_000 where link.phase == .prepared { usleep(1000) }
      usleep(200_000)
      begin = Date()
      link.stop()
      _ = try run.wait()
      if case .failed(let error) = link.phase { failure = error }
    } catch let error as RemoteError { failure = error }
    let seconds = Date().timeIntervalSince(begin)
    #expect(folder.list().isEmpty)
    _ = try? guest.wait()
    return (failure, seconds)
  }

  /// The waits of the real patience are 60 s and more.
  @Test(arguments: Phase.allCases, Way.allCases) func itHasAnEnd(_ phase: Phase, _ way: Way) throws {
    let (error, seconds) = try play(phase, way)
    #expect(seconds < 12, "\(phase) \(way): \(error as Any)")
    // An answer of PROGRESS to PREPARE is against the rules.
    let isViolation = way == .flood && phase == .prepared
    #expect(error?.kind == (isViolation ? .protocolViolation : .timeout), "\(phase) \(way): \(error as Any)")
  }
}
