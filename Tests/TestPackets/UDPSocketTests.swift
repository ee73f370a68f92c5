// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
import Clocks
import Glibc
import Testing

@testable import TestPackets

/// On the loopback device, which stamps as drivers do.
@Suite struct UDPSocketTests {
  private let sink = Sink()

  @Test(arguments: [TransmitClock.kernel, .queue])
  func everyPacketComesBackWithItsTime(clock: TransmitClock) throws {
    var socket = try UDPSocket(to: sink.peer, stampedBy: clock)
    let before = Instant<Realtime>.now.nanoseconds
    for number in 0..<97 {
      #expect(
        socket.sending.send(TestPacket(sequence: UInt32(number), time: before).bytes(size: 44 + number)).error == 0)
    }
    let after = Instant<Realtime>.now.nanoseconds
    var keys: Set<UInt64> = []
    for number in 0..<97 {
      let stamp = try #require(try socket.nextStamp())
      #expect(stamp.number == UInt32(number) && stamp.clock == clock)
      #expect(before...after ~= stamp.time)
      var packet = lp_packet()
      let length = UInt32(stamp.packet.count)
      #expect(unsafe lp_packet_of_frame(&packet, stamp.packet, length, length, Int32(LP_IDENTITY_FULL.rawValue)) == 0)
      #expect(packet.kind == UInt8(LP_KIND_UDP.rawValue) && packet.length == UInt32(20 + 8 + 44 + number))
      // Ethernet, IPv4 and UDP header.
      #expect(TestPacket(payload: stamp.packet.dropFirst(42)) == TestPacket(sequence: UInt32(number), time: before))
      keys.insert(packet.key)
    }
    #expect(keys.count == 97)
    #expect(try socket.nextStamp() == nil)
  }

  @Test func stampsAlone() throws {
    var socket = try UDPSocket(to: sink.peer, stampedBy: .kernel, keepsPackets: false)
    for _ in 0..<23 { #expect(socket.sending.send([UInt8](repeating: 1, count: 100)).error == 0) }
    for number in 0..<23 {
      let stamp = try #require(try socket.nextStamp())
      #expect(stamp.number == UInt32(number) && stamp.packet.isEmpty && stamp.time > 0)
    }
  }

  /// What finds no room is gone, and the others tell which it was.
  @Test func stampsThatNobodyFetchesAreLost() throws {
    var socket = try UDPSocket(to: sink.peer, stampedBy: .kernel, room: 8192)
    for _ in 0..<500 { #expect(socket.sending.send([UInt8](repeating: 1, count: 1000)).error == 0) }
    var numbers: [UInt32] = []
    while let stamp = try socket.nextStamp() { numbers.append(stamp.number) }
    #expect(1..<500 ~= numbers.count, "\(numbers.count)")
    #expect(numbers == Array(0..<UInt32(numbers.count)))
    #expect(socket.sending.send([1]).error == 0)
    #expect(try socket.nextStamp()?.number == 500)
  }

  /// Each packet is answered by an error that the next send call is told of: no packet is left out for it.
  @Test func aPeerThatIsNotThere() throws {
    let peer = try Sink().peer
    var socket = try UDPSocket(to: peer, stampedBy: .kernel)
    for number in 0..<23 {
      #expect(socket.sending.send(TestPacket(sequence: UInt32(number), time: 5).bytes(size: 44)).error == 0)
      if number % 2 == 0 { while socket.nextAnswer() != nil {} }
    }
    for number in 0..<23 {
      let stamp = try #require(try socket.nextStamp())
      #expect(TestPacket(payload: stamp.packet.dropFirst(42))?.sequence == UInt32(number))
    }
    #expect(socket.lastError == ECONNREFUSED)
  }

  @Test func whereToIsToldInOneLine() throws {
    #expect(try sink.peer.device() == "lo")
    #expect(throws: TrafficError.self) { try Destination(host: "no.such.host.invalid", port: 862) }
    #expect(Destination.meant("::1:862") == "[::1]:862" && Destination.meant("fe80::1:2:8620") == "[fe80::1:2]:8620")
    for host in ["::1", "::", "10.0.0.1", "fe80::1:x", "1:2:3:4:5:6:7:8", "host"] {
      #expect(Destination.meant(host) == nil)
    }
    let error = #expect(throws: TrafficError.self) { try Destination(host: "256.0.0.1", port: 1) }
    #expect(error?.description.hasPrefix("host '256.0.0.1' is not known: ") == true)
  }
}

/// A port of the loopback device that takes packets; they are not read.
private final class Sink {
  private let descriptor: Int32
  let port: UInt16

  init() {
    descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = descriptor
    _ = unsafe withUnsafeMutablePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = unsafe bind(descriptor, $0, length)
        return unsafe getsockname(descriptor, $0, &length)
      }
    }
    port = UInt16(bigEndian: address.sin_port)
  }

  deinit { close(descriptor) }

  var peer: Destination { get throws { try Destination(host: "127.0.0.1", port: port) } }
}
