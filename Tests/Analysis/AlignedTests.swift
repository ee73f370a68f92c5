// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

@Suite struct AlignedTests {
  /// Every crossing packet's delay is right within the error that the segment states.
  private func check(_ result: SessionResult, _ machines: TwoMachines, below limit: Int64) throws {
    for (direction, name) in [("tx", "txg2-txh0"), ("rx", "rxh1-rxg0")] {
      let segment = try result.segment(direction, name)
      #expect(segment.fates == Fates(count: 983))
      #expect(segment.errorBound > 0 && segment.errorBound < limit, "\(segment.errorBound)")
      for (number, delay) in segment.delays.enumerated() {
        #expect(abs(delay - machines.crossing(number)) <= segment.errorBound)
      }
    }
    for (direction, name) in [("tx", "txg1-txg2"), ("tx", "txh0-txh1"), ("rx", "rxh0-rxh1"), ("rx", "rxg0-rxg1")] {
      let segment = try result.segment(direction, name)
      #expect(segment.fates == Fates(count: 983))
      #expect(segment.errorBound == 0)
      // By the machine's own clock, 30 ppm and some rounding off the true 2 µs.
      #expect(segment.delays.allSatisfy { abs($0 - 2_000) <= 2 })
    }
    #expect(try result.segment("tx", "txg1-txh1").errorBound > 0)
    #expect(result.warnings == [] && result.clockFaults == [])
  }

  @Test func everyMethodPutsTheGuestOnTheHostsClock() throws {
    for (method, limit) in [("tsc", Int64(1_500)), ("ptp_kvm", 2_500), ("exchange", 40_000)] {
      var machines = TwoMachines()
      machines.hasCounters = method == "tsc"
      machines.hasCrosses = method != "exchange"
      let result = try machines.analysed()
      #expect(result.clockMethod == method)
      #expect(result.clockError == result.clocks.first?.error)
      try check(result, machines, below: limit)
      let clock = try #require(result.clocks.first)
      #expect(clock.guest == "guest-a" && clock.host == "host-lab" && clock.method == method)
      #expect(abs((clock.driftPPM ?? 0) + 30) < 1)
      #expect(clock.methods.map(\.name) == ["tsc", "ptp_kvm", "exchange"])
      for other in clock.methods {
        #expect((other.error == nil) == (other.failure != nil))
        if let gap = other.disagreement, let allowance = other.allowance { #expect(gap <= allowance) }
      }
    }
  }

  @Test func steppingAndSlewingTheGuestChangesNothingBeyondTheError() throws {
    var machines = TwoMachines()
    machines.guestStep = 1_000_000_000
    machines.guestSlewPPM = 200
    for method in ["tsc", "ptp_kvm"] {
      machines.hasCounters = method == "tsc"
      let result = try machines.analysed()
      #expect(result.clockMethod == method)
      try check(result, machines, below: 30_000)
    }
  }

  @Test func packetsSayHowFarTheAlignmentCouldBeShifted() throws {
    let result = try TwoMachines().analysed()
    let clock = try #require(result.clocks.first)
    let error = try #require(clock.error)
    // The fastest packet took 40 µs either way.
    let least = try #require(clock.packetsAllow.least)
    let greatest = try #require(clock.packetsAllow.greatest)
    #expect(abs(least + 40_000) <= error && abs(greatest - 40_000) <= error)
  }

  @Test func aWrongAlignmentIsFoundByPacketsAndByTheOtherMethods() throws {
    var machines = TwoMachines()
    // 100 µs at 3 ticks a nanosecond: packets from the host seem to arrive before they left.
    machines.wrongTicks = 300_000
    let result = try machines.analysed()
    #expect(result.clockMethod == "tsc")
    #expect(result.clockFaults.count == 3)
    #expect(result.clockFaults.allSatisfy { result.warnings.contains($0) })
    #expect(result.clockFaults.contains { $0.contains("tsc and ptp_kvm differ") })
    #expect(result.clockFaults.contains { $0.contains("tsc and exchange differ") })
    let fault = try #require(result.clockFaults.first { $0.contains("arrived before they left") })
    #expect(fault.contains("rx rxh1-rxg0") || fault.contains("tx txg2-txh0"))
    // Without the other methods, the packets alone tell.
    machines.hasCrosses = false
    machines.hasExchanges = false
    #expect(try machines.analysed().clockFaults.count == 1)
  }

  @Test func anAlignmentThatIsWrongByMoreThanTheMatchWindowIsFoundByPackets() throws {
    var machines = TwoMachines()
    machines.hasCrosses = false
    machines.hasExchanges = false
    // 2 s at 3 ticks a nanosecond: no packet is found at the other end.
    for ticks: Int64 in [6_000_000_000, -6_000_000_000] {
      machines.wrongTicks = ticks
      let result = try machines.analysed()
      #expect(result.clockMethod == "tsc" && result.clockFaults.count == 1, "\(result.clockFaults)")
      let fault = try #require(result.clockFaults.first)
      #expect(fault.contains("983 packets arrived before they left, by up to 2.00 s"), "\(fault)")
    }
  }

  @Test func realLossIsNoFaultOfTheClocks() throws {
    let machines = TwoMachines()
    var guest = machines.guest()
    var host = machines.host()
    // Nothing gets through in either direction.
    host.stamps.removeAll { $0.hook == .txh0 || $0.hook == .txh1 }
    guest.stamps.removeAll { $0.hook == .rxg0 || $0.hook == .rxg1 }
    #expect(try TwoMachines.analyse([host, guest]).clockFaults == [])
    // Only every fiftieth does.
    host = machines.host()
    host.stamps.removeAll { ($0.hook == .txh0 || $0.hook == .txh1) && $0.key % 50 != 0 }
    let result = try TwoMachines.analyse([host, guest])
    #expect(result.clockFaults == [])
    #expect(try result.segment("tx", "txg2-txh0").count == 20)
  }

  @Test func aMigratedGuestIsNotAligned() throws {
    let machines = TwoMachines()
    var host = machines.host()
    for index in host.guestCounters.indices.suffix(7) { host.guestCounters[index].offset += 1 }
    let result = try TwoMachines.analyse([host, machines.guest()])
    #expect(result.clockMethod == nil && result.clockError == nil)
    #expect(result.clocks.first?.method == nil)
    #expect(result.clockFaults.count == 1 && result.clockFaults[0].contains("migrated"))
    #expect(result.warnings.contains { $0.contains("not aligned") && $0.contains("migrated") })
    #expect(!result.segments.contains { $0.name == "txg2-txh0" })
    #expect(try result.segment("tx", "txg1-txg2").count == 983)
  }

  @Test func withoutAnyMethodTheReasonsAreTold() throws {
    var machines = TwoMachines()
    machines.hasCounters = false
    machines.hasCrosses = false
    machines.hasExchanges = false
    let result = try machines.analysed()
    #expect(result.clockMethod == nil && result.clockFaults == [])
    let warning = try #require(result.warnings.first { $0.contains("not aligned") })
    #expect(warning.contains("ptp_kvm") && warning.contains("debugfs") && warning.contains("--guest"))
  }

  @Test func eachGuestTakesItsOwnMachinesCounter() throws {
    var first = TwoMachines()
    first.guestUUID = "AAAA-1"
    var second = TwoMachines()
    second.guestName = "guest-b"
    second.guestBootID = "boot-guest-b"
    second.guestUUID = "bbbb-2"
    second.pid = 4343
    var host = first.host()
    // The other machine's counter is wrong by a second.
    host.guestCounters += second.host().guestCounters.map {
      var counter = $0
      counter.offset += 3_000_000_000
      return counter
    }
    var guests = [Guest(pid: 4343, name: "b"), Guest(pid: 4242, name: "a")]
    guests[0].uuid = "BBBB-2"
    guests[1].uuid = "aaaa-1"
    host.machine.guests = guests
    let result = try TwoMachines.analyse([second.guest(), host, first.guest()])
    #expect(result.clocks.map(\.guest) == ["guest-b", "guest-a"])
    let aligned = try #require(result.clocks.last)
    #expect(aligned.method == "tsc" && aligned.methods.allSatisfy { ($0.disagreement ?? 0) <= $0.allowance ?? 0 })
    // guest-b's counter contradicts its cross stamps: that is told, of guest-b only.
    #expect(
      result.clockFaults.contains { $0.hasPrefix("guest-b") }
        && !result.clockFaults.contains { $0.hasPrefix("guest-a") })
  }

  @Test func guestsResumedFromOneSnapshotAreTwo() throws {
    var first = TwoMachines()
    first.guestUUID = "aaaa-1"
    var second = TwoMachines()
    second.guestName = "guest-b"
    second.guestUUID = "bbbb-2"
    second.pid = 4343
    var host = first.host()
    host.guestCounters += second.host().guestCounters
    var guests = [Guest(pid: 4343, name: "b"), Guest(pid: 4242, name: "a")]
    for (index, uuid) in ["bbbb-2", "aaaa-1"].enumerated() {
      guests[index].uuid = uuid
      // The host took the boot id that both told it.
      guests[index].bootID = first.guestBootID
    }
    host.machine.guests = guests
    let result = try TwoMachines.analyse([host, first.guest(), second.guest()])
    #expect(result.clocks.map(\.guest) == ["guest-a", "guest-b"])
    #expect(result.clocks.allSatisfy { $0.method == "tsc" })
    #expect(try result.segment("tx", "txg2-txh0").errorBound > 0)
    // Without a UUID of theirs they cannot be told apart.
    var blind = [first.guest(), second.guest()]
    for index in blind.indices { blind[index].machine.settings["product_uuid"] = nil }
    #expect(try TwoMachines.analyse([host] + blind).clocks.map(\.guest) == ["guest-a+guest-b"])
  }

  @Test func aPeerWithTheHostsBootIDIsAlignedUnlessItRunsOnTheHostsKernel() throws {
    var machines = TwoMachines()
    machines.guestBootID = "boot-host"
    let result = try machines.analysed()
    #expect(result.clockMethod == "tsc" && result.clocks.map(\.guest) == ["guest-a"])
    try check(result, machines, below: 1_500)
    for url in ["unix:/run/agent", "tcp:10.77.0.1:5211", "serial:/run/port"] {
      var host = machines.host()
      host.machine.peers?[0].url = url
      if !url.hasPrefix("unix:") {
        for index in host.clockExchanges.indices {
          host.clockExchanges[index].peerReceived = host.clockExchanges[index].sent + 20_000
          host.clockExchanges[index].peerSent = host.clockExchanges[index].sent + 21_000
        }
      }
      #expect(try TwoMachines.analyse([host, machines.guest()]).clockMethod == "same clock")
      // One message on another clock is enough.
      host.clockExchanges[7].peerReceived += 1_000_000
      host.clockExchanges[7].peerSent += 1_000_000
      let isOne = url.hasPrefix("unix:")
      #expect(try TwoMachines.analyse([host, machines.guest()]).clocks.isEmpty == isOne)
    }
  }

  @Test func intervalsOfPacketsStayOnTheirOwnClock() throws {
    var machines = TwoMachines()
    machines.guestSlewPPM = 200
    let result = try machines.analysed()
    let histogram = try #require(result.intervals.first { $0.point.hook == .txg2 })
    // 4 ms by the guest's clock: 30 ppm fast, from the middle on 230 ppm.
    #expect(histogram.count == 982)
    #expect(histogram.bins.allSatisfy { $0.index == 4_000 })
    #expect(abs(histogram.mean - 4_000_520) < 30)
  }
}
