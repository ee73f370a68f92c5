// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI

/// An event of the streams, as the ABI header lays it out: the one description that sizes, names and TSDL follow from.
struct EventType: Sendable {
  /// A field behind time and id.
  struct Field: Sendable {
    /// As in the metadata's type declarations.
    let type: String
    let name: String
    /// Elements; nil where it is no array.
    let count: Int?
    /// Bytes from the record's start, as the compiler has it; nil for what has no address of its own (bits, padding).
    let offset: Int?

    init(_ type: String, _ name: String, count: Int? = nil, at offset: Int? = nil) {
      (self.type, self.name, self.count, self.offset) = (type, name, count, offset)
    }

    /// Of all its elements.
    var bits: Int { EventType.bits(of: type) * (count ?? 1) }
  }

  let id: UInt8
  let name: String
  /// Bytes of a record.
  let size: Int
  /// TSDL that goes before it, with its line's end; empty for none.
  var declaration = ""
  let fields: [Field]

  /// Bytes of time and id.
  static let headerSize = 9

  /// Bits of a TSDL type that fields have; 0 for one that is not declared.
  static func bits(of type: String) -> Int {
    switch type {
    case "uint8_t", "hex8_t", "bits8_t", "enum hook_point", "enum cross_method", "enum wire_clock": 8
    case "uint16_t": 16
    case "uint32_t", "hex32_t": 32
    case "uint64_t", "int64_t", "hex64_t": 64
    case "bits20_t": 20
    case "enum stamp_kind": 4
    default: 0
    }
  }

  /// Its declaration in the metadata.
  var tsdl: String {
    let lines = fields.map { "    \($0.type) \($0.name)\($0.count.map { "[\($0)]" } ?? "");\n" }
    return """
      \(declaration)event {
        id = \(id);
        name = "\(name)";
        stream_id = 0;
        fields := struct {

      """ + lines.joined() + "  };\n};\n"
  }
}

extension EventType {
  /// All events, by id.
  static let all = [
    EventType(
      id: 0, name: "stamp", size: MemoryLayout<lp_stamp>.size,
      fields: [
        Field("enum hook_point", "hook", at: MemoryLayout<lp_stamp>.offset(of: \.hook)),
        Field("uint16_t", "queue", at: MemoryLayout<lp_stamp>.offset(of: \.queue)),
      ] + packet),
    EventType(
      id: 1, name: "stamp_held", size: MemoryLayout<lp_stamp_held>.size,
      fields: [
        Field("enum hook_point", "hook", at: MemoryLayout<lp_stamp_held>.offset(of: \.stamp.hook)),
        Field("uint16_t", "queue", at: MemoryLayout<lp_stamp_held>.offset(of: \.stamp.queue)),
      ] + packet + [Field("uint64_t", "at_ns", at: MemoryLayout<lp_stamp_held>.offset(of: \.at_ns))]),
    EventType(
      id: 2, name: "flow", size: MemoryLayout<lp_flow>.size,
      fields: [
        Field("uint8_t", "family", at: MemoryLayout<lp_flow>.offset(of: \.family)),
        Field("uint8_t", "protocol", at: MemoryLayout<lp_flow>.offset(of: \.protocol)),
        Field("uint8_t", "reserved0"),
        Field("hex32_t", "flow", at: MemoryLayout<lp_flow>.offset(of: \.flow)),
        Field("uint16_t", "source_port", at: MemoryLayout<lp_flow>.offset(of: \.source_port)),
        Field("uint16_t", "destination_port", at: MemoryLayout<lp_flow>.offset(of: \.destination_port)),
        Field("uint32_t", "reserved1"),
        Field("hex8_t", "source", count: 16, at: MemoryLayout<lp_flow>.offset(of: \.source)),
        Field("hex8_t", "destination", count: 16, at: MemoryLayout<lp_flow>.offset(of: \.destination)),
      ]),
    EventType(
      id: 3, name: "clock_sample", size: MemoryLayout<lp_clock_sample>.size,
      fields: [
        Field("uint8_t", "reserved", count: 3),
        Field("uint32_t", "window_ns", at: MemoryLayout<lp_clock_sample>.offset(of: \.window_ns)),
        Field("int64_t", "monotonic_raw_ns", at: MemoryLayout<lp_clock_sample>.offset(of: \.monotonic_raw_ns)),
        Field("int64_t", "realtime_ns", at: MemoryLayout<lp_clock_sample>.offset(of: \.realtime_ns)),
        Field("int64_t", "tai_ns", at: MemoryLayout<lp_clock_sample>.offset(of: \.tai_ns)),
        Field("int64_t", "boottime_ns", at: MemoryLayout<lp_clock_sample>.offset(of: \.boottime_ns)),
        Field("uint64_t", "tsc", at: MemoryLayout<lp_clock_sample>.offset(of: \.tsc)),
      ]),
    EventType(
      id: 4, name: "clock_exchange", size: MemoryLayout<lp_clock_exchange>.size,
      fields: [
        Field("uint8_t", "reserved", count: 3),
        Field("uint32_t", "peer", at: MemoryLayout<lp_clock_exchange>.offset(of: \.peer)),
        Field("int64_t", "sent_ns", at: MemoryLayout<lp_clock_exchange>.offset(of: \.sent_ns)),
        Field("int64_t", "peer_received_ns", at: MemoryLayout<lp_clock_exchange>.offset(of: \.peer_received_ns)),
        Field("int64_t", "peer_sent_ns", at: MemoryLayout<lp_clock_exchange>.offset(of: \.peer_sent_ns)),
        Field("int64_t", "received_ns", at: MemoryLayout<lp_clock_exchange>.offset(of: \.received_ns)),
      ]),
    EventType(
      id: 5, name: "clock_cross", size: MemoryLayout<lp_clock_cross>.size,
      declaration: "enum cross_method : uint8_t { \"precise\" = 0, \"extended\" = 1, \"basic\" = 2 };\n",
      fields: [
        Field("enum cross_method", "method", at: MemoryLayout<lp_clock_cross>.offset(of: \.method)),
        Field("uint16_t", "device", at: MemoryLayout<lp_clock_cross>.offset(of: \.device)),
        Field("uint32_t", "window_ns", at: MemoryLayout<lp_clock_cross>.offset(of: \.window_ns)),
        Field("int64_t", "device_ns", at: MemoryLayout<lp_clock_cross>.offset(of: \.device_ns)),
        Field("int64_t", "realtime_ns", at: MemoryLayout<lp_clock_cross>.offset(of: \.realtime_ns)),
        Field("int64_t", "monotonic_raw_ns", at: MemoryLayout<lp_clock_cross>.offset(of: \.monotonic_raw_ns)),
      ]),
    EventType(
      id: 6, name: "guest_counter", size: MemoryLayout<lp_guest_counter>.size,
      fields: [
        Field("uint8_t", "fraction_bits", at: MemoryLayout<lp_guest_counter>.offset(of: \.fraction_bits)),
        Field("uint16_t", "vcpu", at: MemoryLayout<lp_guest_counter>.offset(of: \.vcpu)),
        Field("uint32_t", "guest", at: MemoryLayout<lp_guest_counter>.offset(of: \.guest)),
        Field("int64_t", "offset", at: MemoryLayout<lp_guest_counter>.offset(of: \.offset)),
        Field("uint64_t", "ratio", at: MemoryLayout<lp_guest_counter>.offset(of: \.ratio)),
      ]),
    EventType(
      id: 7, name: "stamp_wire", size: MemoryLayout<lp_stamp_wire>.size,
      declaration: """
        enum wire_clock : uint8_t {
          "file" = 0, "reader" = 1, "kernel" = 2, "hardware" = 3, "adapted" = 4
        };

        """,
      fields: [
        Field("enum hook_point", "hook", at: MemoryLayout<lp_stamp_wire>.offset(of: \.stamp.hook)),
        Field("uint16_t", "queue", at: MemoryLayout<lp_stamp_wire>.offset(of: \.stamp.queue)),
      ] + packet + [
        Field("int64_t", "at_ns", at: MemoryLayout<lp_stamp_wire>.offset(of: \.at_ns)),
        Field("enum wire_clock", "time_source", at: MemoryLayout<lp_stamp_wire>.offset(of: \.time_source)),
        Field("uint8_t", "interface", at: MemoryLayout<lp_stamp_wire>.offset(of: \.interface)),
        Field("uint16_t", "device", at: MemoryLayout<lp_stamp_wire>.offset(of: \.device)),
        Field("uint32_t", "reserved"),
      ]),
    EventType(
      id: 8, name: "pair", size: MemoryLayout<lp_pair>.size,
      fields: [
        Field("uint8_t", "flags", at: MemoryLayout<lp_pair>.offset(of: \.flags)),
        Field("uint16_t", "name", at: MemoryLayout<lp_pair>.offset(of: \.name)),
        Field("uint32_t", "number", at: MemoryLayout<lp_pair>.offset(of: \.number)),
        Field("int64_t", "start_ns", at: MemoryLayout<lp_pair>.offset(of: \.start_ns)),
        Field("int64_t", "end_ns", at: MemoryLayout<lp_pair>.offset(of: \.end_ns)),
        Field("int64_t", "last_ns", at: MemoryLayout<lp_pair>.offset(of: \.last_ns)),
      ]),
    EventType(
      id: 9, name: "drop", size: MemoryLayout<lp_drop>.size,
      fields: [Field("uint8_t", "reserved0"), Field("uint16_t", "reserved1")] + packet + [
        Field("uint32_t", "reason", at: MemoryLayout<lp_drop>.offset(of: \.reason)),
        Field("hex32_t", "place", at: MemoryLayout<lp_drop>.offset(of: \.place)),
      ]),
  ]

  /// What every stamp says of its packet, behind hook point and queue.
  private static let packet = [
    Field("bits20_t", "length"), Field("bits8_t", "header_words"), Field("enum stamp_kind", "kind"),
    Field("hex32_t", "flow", at: MemoryLayout<lp_stamp>.offset(of: \.flow)),
    Field("uint32_t", "sequence", at: MemoryLayout<lp_stamp>.offset(of: \.sequence)),
    Field("hex64_t", "key", at: MemoryLayout<lp_stamp>.offset(of: \.key)),
  ]
}

extension Format {
  /// CTF names of the events, by id.
  static let eventNames = EventType.all.map(\.name)

  /// Sizes in units of 8 bytes, 4 bits each, by id: a look-up for every record that is read must cost next to nothing.
  private static let sizes: UInt64 = EventType.all.reduce(0) { $0 | UInt64($1.size / 8) << (4 * UInt64($1.id)) }

  /// Bytes of a record by its event id; 0 for an unknown id.
  @inline(__always)
  static func recordSize(_ event: UInt8) -> Int { event < 16 ? Int(sizes >> (4 * UInt64(event)) & 15) * 8 : 0 }
}
