// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI
internal import Clocks
package import Host
package import Topology

/// The time stamp counters of a host's guests, from KVM's debugfs.
struct GuestCounters: ClockSource {
  let interval: Int64 = 1_000_000_000
  private let guests: [KVMGuest]
  /// Process ids of those whose counters are still there.
  private var present: Set<Int>
  private let debug: KVMDebug
  private let warn: (String) -> Void

  /// - Parameter root: where /sys is; empty for the machine's own.
  init(of guests: [KVMGuest], root: String, warn: @escaping (String) -> Void) {
    self.guests = guests
    self.warn = warn
    let debug = KVMDebug(root: root)
    self.debug = debug
    present = Set(guests.filter { !debug.counters(of: $0).isEmpty }.map(\.pid))
    if let complaint = debug.complaint(about: guests) { warn(complaint) }
  }

  mutating func read() -> [UInt8] {
    var records: [UInt8] = []
    for guest in guests {
      let counters = debug.counters(of: guest)
      for counter in counters {
        unsafe withUnsafeBytes(of: counter.event(of: guest)) { unsafe records.append(contentsOf: $0) }
      }
      if counters.isEmpty, present.remove(guest.pid) != nil {
        warn("\(guest.name) (\(guest.pid)) has left KVM's debugfs: it was migrated away or stopped")
      }
    }
    return records
  }
}

extension ClockKeeper {
  /// What a side of a virtual machine's path has to tell of clocks: its guests' counters on a host, the host's clock in a
  /// guest.
  ///
  /// - Parameters:
  ///   - guests: of this host, whose counters are to be read.
  ///   - root: where /sys is; empty for the machine's own.
  ///   - warn: told in one line, once, what cannot be had; recording goes on without it.
  package convenience init(
    side: Topology.Side?, guests: [KVMGuest], root: String = "", warn: @escaping (String) -> Void
  ) {
    let counters = side == .host ? [GuestCounters(of: guests, root: root, warn: warn)] : []
    self.init(isGuest: side == .guest, others: counters, root: root, warn: warn)
  }
}

extension VCPUCounter {
  fileprivate func event(of guest: KVMGuest) -> lp_guest_counter {
    var event = lp_guest_counter()
    event.time_ns = UInt64(Instant<Monotonic>.now.nanoseconds)
    event.event = UInt8(LP_EVENT_GUEST_COUNTER.rawValue)
    event.fraction_bits = UInt8(clamping: fractionBits)
    event.vcpu = UInt16(clamping: vcpu)
    event.guest = UInt32(clamping: guest.pid)
    event.offset = offset
    event.ratio = ratio
    return event
  }
}
