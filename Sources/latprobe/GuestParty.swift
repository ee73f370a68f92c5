// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Remote
import Topology

/// What ends a recording that has come without all of its guests.
struct GuestError: Error, CustomStringConvertible {
  var missing: [String]
  var description: String { missing.joined(separator: "; ") }
  init(_ missing: [String]) { self.missing = missing }
}

/// The guests that record beside a host: none, one or several.
final class GuestParty {
  /// Bytes of one guest's streams that are taken, unless `--max-size` says otherwise.
  private static let defaultLimit = 4 << 30
  /// The host's recording waits for the last clock exchanges no longer.
  private static let windDown = 0.75

  private let links: [RemoteGuest]
  private let limit: Int
  private var threads: [Thread] = []
  private var told: Set<UInt32> = []
  private var stopAt: Date?
  private var signalsAtStop = 0
  private var directory = ""

  var peers: [Peer] { links.map(\.peer) }

  /// Connects to the agents and has each load its programs.
  init(
    urls: [String], keyFile: String?, choice: ProbeChoice, devices: [String], topology: Topology, session: String,
    host: String, maxSize: Int?, grace: Int64?
  ) throws {
    var patience = Patience()
    if let grace { patience.grace = grace }
    let endpoints = try urls.map { try Endpoint($0) }
    let key = try keyFile.map { try SharedKey(file: $0) }
    limit = maxSize ?? GuestParty.defaultLimit
    var links: [RemoteGuest] = []
    if !endpoints.isEmpty {
      var request = RecordRequest(
        session: session, topology: topology.name, topologyDigest: try GuestParty.digest(topology))
      request.devices = devices
      request.filter = choice.filter ?? ""
      request.oneIn = choice.oneIn
      request.sampleByFlow = choice.sampleBy == "flow"
      request.isNATProof = choice.nat == true
      request.bufferSize = UInt32(choice.bufferSize ?? 0)
      request.maxSize = UInt64(maxSize ?? 0)
      request.taken = [host]
      for (number, endpoint) in endpoints.enumerated() {
        let link = try RemoteGuest(
          endpoint, number: UInt32(number), key: key, release: Latprobe.version, request: request,
          patience: patience)
        request.taken.append(link.prepared.machine)
        links.append(link)
        for warning in link.prepared.warnings { Console.error("warning: \(link.prepared.machine): \(warning)") }
        Console.error(
          "\(link.prepared.machine) (\(endpoint), latprobe \(link.release)) is ready: "
            + link.prepared.hooks.joined(separator: " "))
      }
    }
    self.links = links
  }

  /// SHA-256 of the topology's file, by which both sides know that they mean the same.
  static func digest(_ topology: Topology) throws -> [UInt8] {
    Digest.sha256([UInt8](try Data(contentsOf: URL(fileURLWithPath: topology.file))))
  }

  /// Starts all guests; back once all have recorded. If one does not, none is left recording.
  ///
  /// What becomes of one that has, in the next instant or later, is no reason for the host not to record.
  func start(into directory: String) throws {
    self.directory = directory
    for link in links {
      let limit = limit
      let thread = Thread { link.run(into: directory, limit: limit) }
      thread.name = "guest \(link.endpoint)"
      thread.start()
      threads.append(thread)
    }
    while true {
      if links.allSatisfy(\.hasStarted) { return }
      let failure = links.filter { !$0.hasStarted }.compactMap { link in
        if case .failed(let error) = link.phase {
          RemoteError(error.kind, "\(error); the host has not begun to record")
        } else {
          nil
        }
      }.first
      if let failure = failure ?? (StopSignal.count > 0 ? RemoteError(.cancelled, "stopped before the start") : nil) {
        cancel()
        throw failure
      }
      usleep(2000)
    }
  }

  /// Puts down who the guests are, and which virtual machine of this host each is, where its CID tells.
  func describe(in machine: inout Machine) {
    machine.peers = peers
    for link in links {
      guard case .vsock(let cid?, _) = link.endpoint,
        let index = machine.guests?.firstIndex(where: { $0.vsockCID == cid })
      else { continue }
      machine.guests?[index].bootID = link.prepared.bootID
    }
  }

  // MARK: - While the host records

  func exchanges() -> [ClockExchange] { links.flatMap { $0.exchanges() } }

  /// Asks the guests to end; true once each has made its last clock exchanges.
  func mayEnd() -> Bool {
    stop()
    let isOverdue = stopAt.map { Date().timeIntervalSince($0) > GuestParty.windDown } ?? true
    return isOverdue || isGivenUp || links.allSatisfy { $0.phase != .recording }
  }

  private func stop() {
    if stopAt == nil {
      stopAt = Date()
      signalsAtStop = StopSignal.count
    }
    for link in links { link.stop() }
  }

  /// The user has signalled again.
  private var isGivenUp: Bool { stopAt != nil && StopSignal.count > signalsAtStop }

  /// Tells of each guest that has left, once; the host goes on.
  func tellLosses() {
    for link in links where !told.contains(link.peer.number) {
      let name = link.prepared.machine
      if case .failed(let error) = link.phase {
        told.insert(link.peer.number)
        Console.endLive()
        Console.error("warning: \(name) is lost, recording goes on without it: \(error)")
      } else if let (reason, _) = link.stopped, stopAt == nil {
        told.insert(link.peer.number)
        Console.endLive()
        Console.error("warning: \(name) has stopped recording (\(reason)); the host goes on")
      }
    }
  }

  /// For the live line.
  var line: String {
    links.map { "  \($0.prepared.machine) \($0.progress.stamps) stamps, lost \($0.progress.lost)" }.joined()
  }

  // MARK: - Afterwards

  /// Waits until each guest's recording has come, or the user stops the wait by another signal.
  ///
  /// - Returns: what is missing, and why.
  func collect() -> [String] {
    stop()
    while !links.allSatisfy({ $0.phase.isEnd }) {
      if isGivenUp { cancel() }
      let bytes = links.reduce(0) { if case .pulling(let size) = $1.phase { $0 + size } else { $0 } }
      Console.live("waiting for the guests: \(bytes >> 20) MiB; Ctrl-C gives up")
      usleep(20_000)
    }
    if !links.isEmpty { Console.endLive() }
    return links.compactMap(outcome)
  }

  private func outcome(_ link: RemoteGuest) -> String? {
    let name = link.prepared.machine
    let (lost, wrong) = link.unusableExchanges
    if lost > 0 { Console.error("warning: \(name) left \(lost) clock exchanges unanswered") }
    if wrong > 0 { Console.error("warning: \(name) gave impossible times in \(wrong) clock exchanges") }
    switch link.phase {
    case .done(let machine):
      let stamps = machine.ledger.sum(\.emitted)
      let discarded = machine.ledger.sum(\.lost)
      Console.error(
        "\(name): \(stamps) stamps, lost \(discarded); in \(directory)/\(name)")
      return nil
    case .failed(let error):
      let place = link.stopped.map { "the guest keeps it in \($0.directory)" } ?? "the agent tells where it keeps it"
      return "the recording of \(name) is missing: \(error); \(place)"
    default: return "the recording of \(name) is missing"
    }
  }

  private func cancel() {
    for link in links { link.cancel() }
    let end = Date().addingTimeInterval(2)
    while Date() < end, !links.allSatisfy({ $0.phase.isEnd }) { usleep(5000) }
  }
}
