// SPDX-License-Identifier: GPL-2.0-or-later
internal import Foundation
internal import Glibc
internal import Synchronization

/// Where hosts come in: several may begin side by side, and the first that has proved itself and asked for a recording is
/// served. Whoever only connects, or sends byte by byte, keeps nobody out.
package final class Door {
  /// A host that may be served, and what it asks for.
  package struct Guest: ~Copyable {
    package var connection: Connection
    let request: RecordRequest
  }

  /// Connections whose handshake is under way: of all, and of one address. Of too many the oldest goes.
  static let limit = 64
  static let limitPerAddress = 8
  private static let slice: Int32 = 10
  private let listener: Listener
  private let key: SharedKey?
  private let release: String
  private let timeout: Int64
  private let hall: Hall

  package convenience init(
    _ listener: Listener, key: SharedKey?, release: String, say: @escaping @Sendable (String) -> Void
  ) {
    self.init(listener, key: key, release: release, timeout: Handshake.timeout, say: say)
  }

  /// - Parameter timeout: nanoseconds that all of a handshake may take.
  init(
    _ listener: Listener, key: SharedKey?, release: String, timeout: Int64,
    say: @escaping @Sendable (String) -> Void
  ) {
    (self.listener, self.key, self.release, self.timeout) = (listener, key, release, timeout)
    hall = Hall(say: say)
  }

  /// The next host to be served; nil if none was there within `wait` milliseconds.
  package func next(wait: Int32) throws(RemoteError) -> Guest? {
    hall.open()
    let end = Connection.now + Int64(wait) * 1_000_000
    repeat {
      if let ready = hall.takeReady() { return ready.guest.withLock { $0.take() } }
      guard let connection = try listener.accept(timeout: hall.isEmpty ? wait : Door.slice) else { continue }
      begin(connection)
    } while Connection.now < end
    return nil
  }

  /// Tells hosts that knock while another is served.
  package func turnAway() {
    for _ in 0..<Door.limit {
      guard listener.isShared, var other = try? listener.accept(timeout: 0) else { return }
      other.refuse("the agent is busy with another host")
      other.endInOrder()
    }
  }

  private func begin(_ connection: consuming Connection) {
    let newcomer = Newcomer(connection)
    let id = hall.enter(newcomer)
    let (hall, key, release, timeout) = (hall, key, release, timeout)
    let handshake = { @Sendable in newcomer.greet(id, hall, key: key, release: release, timeout: timeout) }
    // A line has one peer, and is opened once.
    guard listener.isShared else { return handshake() }
    let thread = Thread(block: handshake)
    thread.name = "handshake"
    thread.stackSize = 1 << 20
    thread.start()
  }
}

/// A connection that has just come in.
private final class Newcomer: Sendable {
  let address: String
  let descriptor: Int32
  private let connection: Mutex<Connection?>

  init(_ connection: consuming Connection) {
    (address, descriptor) = (connection.address, connection.number)
    self.connection = Mutex(consume connection)
  }

  /// All that a host has to say before it is served.
  func greet(_ id: Int, _ hall: Hall, key: SharedKey?, release: String, timeout: Int64) {
    guard var connection = connection.withLock({ $0.take() }) else { return }
    // Closed only after the hall has forgotten its number.
    defer { hall.leave(id) }
    connection.deadline = Connection.now + timeout
    do throws(RemoteError) {
      try connection.welcome(key: key, release: release)
      guard let message = try connection.receive(within: timeout) else {
        throw RemoteError(.timeout, "it asks for nothing")
      }
      guard case .prepare(let request) = message else { throw RemoteError.violation("it does not ask for a recording") }
      connection.deadline = nil
      let peer = connection.peer
      let version = connection.peerVersion
      guard hall.mayBeServed() else {
        connection.fail("the agent is busy with another host")
        connection.endInOrder()
        return
      }
      hall.say("\(peer), latprobe \(version), is connected")
      hall.makeReady(Ready(Door.Guest(connection: connection, request: request)))
    } catch {
      let reason = hall.wasDropped(id) ? "too many others came after it" : error.description
      hall.say("\(connection.peer) was turned away: \(reason)", isOften: true)
    }
  }
}

/// A host that is to be served.
private final class Ready: Sendable {
  let guest: Mutex<Door.Guest?>
  init(_ guest: consuming Door.Guest) { self.guest = Mutex(consume guest) }
}

/// Those whose handshake is under way.
private final class Hall: Sendable {
  private struct State {
    var newcomers: [(id: Int, newcomer: Newcomer)] = []
    var dropped: Set<Int> = []
    var nextID = 0
    /// Somebody is served, or about to be.
    var isTaken = false
    var ready: Ready?
    /// Lines of those turned away since then.
    var lines = (count: 0, since: Int64(0), untold: 0)
  }

  /// Lines on those turned away in `linePeriod`: whoever knocks without end is not to fill a log.
  private static let lineLimit = 20
  private static let linePeriod: Int64 = 10_000_000_000
  private let state = Mutex(State())
  private let tell: @Sendable (String) -> Void

  init(say: @escaping @Sendable (String) -> Void) { tell = say }

  var isEmpty: Bool { state.withLock { $0.newcomers.isEmpty && $0.ready == nil } }

  /// Nobody is served any more.
  func open() { state.withLock { if $0.ready == nil { $0.isTaken = false } } }

  func enter(_ newcomer: Newcomer) -> Int {
    state.withLock { state in
      let same = state.newcomers.filter { $0.newcomer.address == newcomer.address }
      // Without an address all are alike.
      if !newcomer.address.isEmpty, same.count >= Door.limitPerAddress {
        Hall.drop(same[0].id, &state)
      } else if state.newcomers.count >= Door.limit {
        Hall.drop(state.newcomers[0].id, &state)
      }
      state.nextID += 1
      state.newcomers.append((state.nextID, newcomer))
      return state.nextID
    }
  }

  /// Its thread is awake then, and ends.
  private static func drop(_ id: Int, _ state: inout State) {
    guard let index = state.newcomers.firstIndex(where: { $0.id == id }) else { return }
    shutdown(state.newcomers[index].newcomer.descriptor, Int32(SHUT_RDWR))
    state.newcomers.remove(at: index)
    state.dropped.insert(id)
  }

  func wasDropped(_ id: Int) -> Bool { state.withLock { $0.dropped.contains(id) } }

  func leave(_ id: Int) {
    state.withLock { state in
      state.newcomers.removeAll { $0.id == id }
      state.dropped.remove(id)
    }
  }

  /// True for one until ``open()``.
  func mayBeServed() -> Bool {
    state.withLock { state in
      guard !state.isTaken else { return false }
      state.isTaken = true
      return true
    }
  }

  func makeReady(_ ready: Ready) { state.withLock { $0.ready = ready } }

  func takeReady() -> Ready? {
    state.withLock { state in
      defer { state.ready = nil }
      return state.ready
    }
  }

  /// - Parameter isOften: whether anybody can bring it about.
  func say(_ line: String, isOften: Bool = false) {
    let untold: Int? = state.withLock { state in
      guard isOften else { return 0 }
      let now = Connection.now
      var untold = 0
      if now - state.lines.since > Hall.linePeriod {
        untold = state.lines.untold
        state.lines = (0, now, 0)
      }
      guard state.lines.count < Hall.lineLimit else {
        state.lines.untold += 1
        return nil
      }
      state.lines.count += 1
      return untold
    }
    guard let untold else { return }
    tell(line + (untold > 0 ? "; before it \(untold) others were, too" : ""))
  }
}
