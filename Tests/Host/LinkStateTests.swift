// SPDX-License-Identifier: GPL-2.0-or-later
import Host
import Recording
import Testing

/// What netlink tells of links, as changes of watched devices.
@Suite struct LinkStateTests {
  private let here: NetworkNamespace
  private let there: NetworkNamespace
  private var links: LinkStates

  init() throws {
    here = try NetworkNamespace.named("/proc/self/ns/net")
    // Any other file of proc's namespaces has another number.
    there = try NetworkNamespace.named("/proc/self/ns/mnt")
    links = LinkStates([
      WatchedDevice(Link(index: 5, name: "eth0"), in: here, hooks: ["rxg0"]),
      WatchedDevice(Link(index: 5, name: "eth0"), in: there, hooks: ["rxh1"]),
    ])
  }

  private mutating func told() -> [String] {
    links.take().map { "\($0.what.rawValue) \($0.id?.split(separator: ":").last ?? "") \($0.hooks.joined())" }
  }

  @Test mutating func whatIsNotWatchedIsNoNews() {
    links.see(Link(index: 5, name: "eth0"), in: here, at: 1)
    links.see(Link(index: 6, name: "eth1", isUp: false), in: here, at: 2)
    links.lose(index: 6, in: here, isMoved: false, at: 3)
    #expect(told() == [])
  }

  @Test mutating func aDeviceThatIsClosedBeforeItGoesIsToldOnce() {
    links.see(Link(index: 5, name: "eth0", isUp: false), in: here, at: 1)
    links.see(Link(index: 5, name: "eth0", isUp: false), in: there, at: 1)
    links.lose(index: 5, in: here, isMoved: true, at: 2)
    links.lose(index: 5, in: here, isMoved: true, at: 3)
    #expect(told() == ["down 5 rxh1", "moved 5 rxg0"])
  }

  /// Its number means another device then.
  @Test mutating func anotherDeviceOfItsNumberIsNotIt() {
    links.lose(index: 5, in: here, isMoved: false, at: 1)
    links.see(Link(index: 5, name: "other"), in: here, at: 2)
    links.see(Link(index: 5, name: "other", isUp: false), in: here, at: 3)
    links.see(Link(index: 9, name: "eth0", isUp: false), in: here, at: 4)
    links.see(Link(index: 9, name: "eth0"), in: here, at: 5)
    #expect(told() == ["deleted 5 rxg0", "back 9 rxg0", "down 9 rxg0", "up 9 rxg0"])
  }

  /// News where it was there and goes; not beside going down, nor where a device that has come up waits for it.
  @Test mutating func aCarrier() {
    links.see(Link(index: 5, name: "eth0", hasCarrier: false), in: here, at: 1)
    links.see(Link(index: 5, name: "eth0", hasCarrier: false), in: here, at: 2)
    links.see(Link(index: 5, name: "eth0"), in: here, at: 3)
    links.see(Link(index: 5, name: "eth0", isUp: false, hasCarrier: false), in: here, at: 4)
    links.see(Link(index: 5, name: "eth0", hasCarrier: false), in: here, at: 5)
    links.see(Link(index: 5, name: "eth0"), in: here, at: 6)
    #expect(told() == ["no-carrier 5 rxg0", "carrier 5 rxg0", "down 5 rxg0", "up 5 rxg0"])
    links.see(Link(index: 5, name: "eth0", hasCarrier: false), in: here, at: 7)
    links.lose(index: 5, in: here, isMoved: false, at: 8)
    #expect(told() == ["deleted 5 rxg0"])
  }

  /// Of the one that packets are sent from, once each.
  @Test mutating func anAddress() throws {
    var device = WatchedDevice(Link(index: 5, name: "eth0"), in: here, hooks: ["wire-out"])
    device.address = Array(1...16)
    links = LinkStates([device])
    let own: [UInt8] = Array(1...16)
    for (address, isGone, index) in [
      (own, false, 5), (Array(2...17), true, 5), (own, true, 6), (own, true, 5), (own, true, 5), (own, false, 5),
    ] as [([UInt8], Bool, Int)] {
      links.see(LinkAddress(index: index, bytes: address), isGone: isGone, in: here, at: 1)
    }
    #expect(told() == ["address-removed 5 wire-out", "address-back 5 wire-out"])
    // Where news were lost, all are looked at.
    for all: Set<LinkAddress> in [
      [LinkAddress(index: 5, bytes: own)], [LinkAddress(index: 6, bytes: own)], [], [LinkAddress(index: 5, bytes: own)],
    ] {
      links.see(all: all, in: here, at: 2)
      links.see(all: all, in: there, at: 2)
    }
    #expect(told() == ["address-removed 5 wire-out", "address-back 5 wire-out"])
    links.see(LinkAddress(index: 5, bytes: own), isGone: true, in: here, at: 2)
    links.lose(index: 5, in: here, isMoved: false, at: 2)
    #expect(told() == ["deleted 5 wire-out"])
  }

  @Test mutating func aNewNameIsAnEnd() throws {
    links.see(Link(index: 5, name: "lan0"), in: here, at: 1)
    links.see(Link(index: 5, name: "lan0", isUp: false), in: here, at: 2)
    let change = try #require(links.take().first)
    #expect(change.what == .renamed && change.to == "lan0" && change.device == "eth0" && change.time == 1)
    links.see(Link(index: 5, name: "eth0"), in: here, at: 3)
    #expect(told() == ["back 5 rxg0"])
  }

  /// Messages were lost: what is there now tells what has happened.
  @Test mutating func lookingTellsWhatWasNotHeard() {
    links.see(all: [Link(index: 1, name: "lo"), Link(index: 7, name: "eth0")], in: here, at: 1)
    #expect(told() == ["deleted 5 rxg0", "back 7 rxg0"])
    links.see(all: [Link(index: 1, name: "lo")], in: here, at: 2)
    links.lose(there, .namespaceDeleted, at: 3)
    links.lose(there, .namespaceDeleted, at: 4)
    #expect(told() == ["deleted 7 rxg0", "namespace-deleted 5 rxh1"])
  }
}
