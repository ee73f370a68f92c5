// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
import Testing

@testable import Recording

/// The table of events is what the ABI header says.
@Suite struct EventTableTests {
  @Test func fieldsCoverTheirRecordExactly() {
    for event in EventType.all {
      var bits = EventType.headerSize * 8
      for field in event.fields {
        #expect(field.bits > 0, "\(event.name).\(field.name) has a type that is not known: \(field.type)")
        if let offset = field.offset { #expect(offset * 8 == bits, "\(event.name).\(field.name)") }
        bits += field.bits
      }
      #expect(bits == event.size * 8, "\(event.name)")
      #expect(event.fields.contains { $0.offset != nil })
    }
  }

  @Test func sizesAndIdsAreTheHeaders() {
    let ids = [
      LP_EVENT_STAMP, LP_EVENT_STAMP_HELD, LP_EVENT_FLOW, LP_EVENT_CLOCK_SAMPLE, LP_EVENT_CLOCK_EXCHANGE,
      LP_EVENT_CLOCK_CROSS, LP_EVENT_GUEST_COUNTER, LP_EVENT_STAMP_WIRE, LP_EVENT_PAIR, LP_EVENT_DROP,
    ]
    #expect(EventType.all.map { UInt32($0.id) } == ids.map(\.rawValue))
    #expect(EventType.all.map(\.id) == Array(0..<UInt8(EventType.all.count)))
    #expect(Set(EventType.all.map(\.name)).count == EventType.all.count)
    for event in EventType.all {
      #expect(event.size % 8 == 0 && event.size < 128 && event.id < 16, "no room in the packed sizes: \(event.name)")
      #expect(Format.recordSize(event.id) == event.size)
    }
    for id in EventType.all.count...255 { #expect(Format.recordSize(UInt8(id)) == 0) }
    #expect(EventType.all.map(\.size).min() == Format.smallestRecord)
  }
}
