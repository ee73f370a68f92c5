// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing

@testable import TestPackets

@Suite struct PacketQueueTests {
  private func packet(_ number: Int) -> SentPacket {
    SentPacket(number: UInt64(number), due: Int64(number), actual: Int64(number) * 3, time: Int64(number) * 5)
  }

  @Test(arguments: [(0, 2), (2, 2), (3, 4), (4096, 4096), (4097, 8192)])
  func theCapacityIsAPowerOfTwo(asked: Int, got: Int) { #expect(PacketQueue(capacity: asked).capacity == got) }

  @Test func itIsFullUntilSomebodyTakes() {
    let queue = PacketQueue(capacity: 4)
    #expect(queue.take().isEmpty)
    for number in 0..<4 {
      #expect(!queue.isFull)
      queue.append(packet(number))
    }
    #expect(queue.isFull)
    #expect(queue.take() == (0..<4).map(packet))
    #expect(!queue.isFull)
    queue.append(packet(5))
    #expect(queue.take() == [packet(5)])
  }

  /// Nothing is lost, changed or out of order between two threads, many times around.
  @Test func twoThreads() {
    let queue = PacketQueue(capacity: 64)
    let count = 100_003
    Thread { [self] in
      for number in 0..<count {
        while queue.isFull { sched_yield() }
        queue.append(packet(number))
      }
    }.start()
    var next = 0
    while next < count {
      let packets = queue.take()
      #expect(packets == (next..<next + packets.count).map(packet))
      next += packets.count
      if packets.isEmpty { sched_yield() }
    }
    #expect(queue.take().isEmpty)
  }
}
