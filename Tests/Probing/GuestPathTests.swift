// SPDX-License-Identifier: GPL-2.0-or-later
import Host
import Testing
import Topology

@testable import Probing

/// From a tap to the NIC, and what cannot be followed.
@Suite struct GuestPathTests {
  private let links = [
    Link(index: 1, name: "br0", kind: "bridge", isUp: true, isEthernet: true),
    Link(index: 2, name: "eth1", kind: "", isUp: true, isEthernet: true, masterIndex: 1),
    Link(index: 3, name: "vnet0", kind: "tun", isUp: true, isEthernet: true, masterIndex: 1),
    Link(index: 4, name: "veth0", kind: "veth", isUp: true, isEthernet: true, masterIndex: 1),
    Link(index: 5, name: "eth2", kind: "", isUp: true, isEthernet: true, masterIndex: 9),
    Link(index: 6, name: "vnet1", kind: "tun", isUp: true, isEthernet: true, masterIndex: 7),
    Link(index: 7, name: "ovs-system", kind: "openvswitch", isUp: false, isEthernet: true),
    Link(index: 8, name: "vnet2", kind: "tun", isUp: true, isEthernet: true),
    Link(index: 10, name: "bond0", kind: "bond", isUp: true, isEthernet: true, masterIndex: 1),
  ]

  @Test func theUplinksAreTheBridgesOtherPorts() {
    #expect(GuestPath.uplinks(of: ["vnet0"], links: links).map(\.name) == ["eth1", "bond0"])
    #expect(GuestPath.uplinks(of: ["vnet2", "none"], links: links).isEmpty)
  }

  @Test func whatCannotBeFollowedIsNamed() throws {
    let host = try FakeHost()
    try host.libvirtGuest()
    var guest = try #require(KVMGuest.all(root: host.root).first)
    #expect(GuestPath(guest, links: links).unfollowed.isEmpty)
    guest.taps.append(GuestTap(name: "vnet1", queues: 1))
    guest.macvtaps = ["macvtap0"]
    guest.vfio = ["41"]
    guest.backends = ["tap", "vhost-user", "af-xdp", "user"]
    let ways = GuestPath(guest, links: links).unfollowed
    for (way, name) in zip(ways, ["macvtap0", "Open vSwitch", "vhost-user", "AF_XDP", "VFIO 41", "user"]) {
      #expect(way.contains(name))
    }
    #expect(ways.count == 6)
  }
}

/// What --guest-name, --tap and --dev come to.
@Suite struct GuestChoiceTests {
  private let links = [
    Link(index: 1, name: "br0", kind: "bridge", isUp: true, isEthernet: true),
    Link(index: 2, name: "eth1", kind: "", isUp: true, isEthernet: true, masterIndex: 1),
    Link(index: 3, name: "vnet0", kind: "tun", isUp: true, isEthernet: true, masterIndex: 1),
  ]

  private func guests() throws -> [KVMGuest] {
    let host = try FakeHost()
    try host.libvirtGuest(pid: 4100, name: "web")
    try host.libvirtGuest(pid: 5100, name: "db")
    var guests = KVMGuest.all(root: host.root)
    guests[1].taps = [GuestTap(name: "vnet7", queues: 1)]
    return guests
  }

  private func make(
    _ name: String?, taps: [String] = [], devices: [String] = [], side: Topology.Side? = .host
  ) throws -> GuestChoice {
    try GuestChoice.make(
      name: name, taps: taps, devices: devices, side: side, among: guests(), links: [links], root: "/nonexistent")
  }

  @Test func aNameLeadsToTapsAndNIC() throws {
    let choice = try make("web")
    #expect(choice.guests.map(\.pid) == [4100] && choice.taps == ["vnet0"] && choice.devices == ["eth1"])
    #expect(try make("db", devices: ["eth5"]).devices == ["eth5"])
    #expect(try make("db", taps: ["vnet0"]).devices == ["eth1"])
  }

  @Test func withoutANameTheTapsTell() throws {
    #expect(try make(nil).guests.count == 2 && make(nil).taps.isEmpty && make(nil).devices.isEmpty)
    #expect(try make(nil, taps: ["vnet7"]).guests.map(\.name) == ["db"])
    #expect(try make(nil, taps: ["vnet0"]).devices == ["eth1"])
    #expect(try make(nil, taps: ["other"]).guests.count == 2)
  }

  @Test func whatCannotBeResolvedIsExplained() throws {
    func line(_ body: @autoclosure () throws -> GuestChoice) throws -> String {
      try #require(throws: KernelError.self) { _ = try body() }.description
    }
    #expect(try line(make("db")).contains("name it with --dev"))
    #expect(try line(make("web", side: .guest)).contains("--side host"))
    #expect(try line(make("mail")).contains("no KVM guest 'mail'"))
    var passthrough = try guests()[0]
    passthrough.taps = []
    passthrough.vfio = ["41"]
    let error = try line(
      GuestChoice.make(name: "web", taps: [], devices: [], side: .host, among: [passthrough], links: [links]))
    #expect(error.contains("no tap") && error.contains("VFIO 41"))
  }
}
