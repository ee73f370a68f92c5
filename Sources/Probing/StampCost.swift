// SPDX-License-Identifier: GPL-2.0-or-later
internal import CBPF
internal import CLatprobeABI
internal import Glibc
internal import Host
internal import Recording

/// What a stamp at a device costs on this machine: the time in the programs there as the kernel counts it
/// (BPF_STATS_RUN_TIME), by their stamps.
///
/// Taken from the first stamps on, and only until there are plenty, since counting reads a clock twice a run.
struct StampCost {
  /// Hook points that share programs: what one of them costs cannot be told from the other.
  struct Site {
    var hooks: Set<String>
    var stamps: UInt64
    /// Of all runs, those too that stamped nothing.
    var nanoseconds: UInt64
  }

  struct Totals {
    var sites: [Site] = []
  }

  /// Nanoseconds a stamp, to a tenth.
  struct Result {
    var mean: Double
    /// By hook point, of those with stamps enough.
    var byHook: [String: Double]
  }

  /// Puts together the hook points that share a program.
  static func sites(
    _ hooks: [(name: String, programs: Set<String>)]
  ) -> [(hooks: Set<String>, programs: Set<String>)] {
    var sites: [(hooks: Set<String>, programs: Set<String>)] = []
    for hook in hooks {
      var site = (hooks: Set([hook.name]), programs: hook.programs)
      for other in sites where !other.programs.isDisjoint(with: hook.programs) {
        site.hooks.formUnion(other.hooks)
        site.programs.formUnion(other.programs)
      }
      sites.removeAll { !$0.programs.isDisjoint(with: hook.programs) }
      sites.append(site)
    }
    return sites
  }

  /// Where a program runs once a packet. Others run at every system call, or whenever any packet is freed.
  static let hooks: Set<HookPoint> = [.txg1, .txg2, .txh0, .txh1, .rxh0, .rxh1, .rxg0]

  /// The longest that the kernel counts, nanoseconds.
  private static let stretch: Int64 = 1_000_000_000
  /// Bytes of 10 000 stamps.
  private static let plenty = 10_000 * MemoryLayout<lp_stamp>.size
  /// With fewer stamps, runs for packets of other devices would make up the most of it.
  private static let enough: UInt64 = 100

  private var isOver = false
  private var hasBegun = false
  private var first = Totals()
  private var end: Int64 = 0
  /// Bytes of records since the kernel counts.
  private var seen = 0

  /// To be called in short intervals.
  /// - Parameters:
  ///   - now: CLOCK_MONOTONIC, nanoseconds.
  ///   - bytes: of the records that came since the last call. Looking into the ledger each time would make kernels skip kprobe
  ///     programs meanwhile.
  /// - Returns: what a stamp costs, once; nil before and after, and if it cannot be told.
  mutating func follow(_ probes: borrowing ProbeSet, now: Int64, bytes: Int) throws(KernelError) -> Result? {
    guard !isOver else { return nil }
    guard hasBegun else {
      guard bytes > 0 else { return nil }
      hasBegun = true
      isOver = !probes.runTimes.isOpen
      first = try probes.totals()
      end = now + StampCost.stretch
      return nil
    }
    seen += bytes
    guard now >= end || seen >= StampCost.plenty else { return nil }
    // A stray packet before the traffic begins does not use up the stretch.
    guard StampCost.perStamp(first, try probes.totals()) != nil else {
      end = now + StampCost.stretch
      return nil
    }
    return try finish(probes)
  }

  /// For a recording that ends before there are plenty.
  mutating func finish(_ probes: borrowing ProbeSet) throws(KernelError) -> Result? {
    guard !isOver, hasBegun else { return nil }
    isOver = true
    let last = try probes.totals()
    probes.runTimes.close()
    return StampCost.perStamp(first, last)
  }

  /// Nil where too few stamps were made.
  static func perStamp(_ first: Totals, _ last: Totals) -> Result? {
    func cost(_ sites: [(first: Site, last: Site)]) -> Double? {
      let stamps = sites.reduce(0) { $0 + $1.last.stamps - $1.first.stamps }
      guard stamps >= enough else { return nil }
      let nanoseconds = sites.reduce(0) { $0 + $1.last.nanoseconds - $1.first.nanoseconds }
      return (Double(nanoseconds) / Double(stamps) * 10).rounded() / 10
    }
    let sites = Array(zip(first.sites, last.sites)).map { (first: $0, last: $1) }
    guard let mean = cost(sites) else { return nil }
    var byHook: [String: Double] = [:]
    for site in sites {
      guard let own = cost([site]) else { continue }
      for hook in site.last.hooks { byHook[hook] = own }
    }
    return Result(mean: mean, byHook: byHook)
  }
}

/// Has the kernel count the time in BPF programs while it is open.
package final class RunTimes {
  private var file: Int32 = -1

  /// Refused before Linux 5.8, and without CAP_SYS_ADMIN: then they are not counted.
  package func open() { file = bpf_enable_stats(BPF_STATS_RUN_TIME) }

  var isOpen: Bool { file >= 0 }

  func close() {
    if file >= 0 { Glibc.close(file) }
    file = -1
  }

  deinit { close() }
}
