// SPDX-License-Identifier: GPL-2.0-or-later

/// The CTF `metadata` file: TSDL text that describes the streams for any CTF reader.
///
/// latprobe's own reader does not parse TSDL: the format number fixes the layout, so it reads the
/// byte order, the trace's UUID and the number alone.
struct Metadata: Equatable {
  var uuid: TraceID
  var machine: String
  var hostname: String
  var bootID: String
  var session: String
  /// CLOCK_REALTIME − CLOCK_MONOTONIC in nanoseconds when the recording began.
  var utcOffset: Int64

  var text: String {
    // Floor division: the part below one second must not be negative.
    let below = ((utcOffset % 1_000_000_000) + 1_000_000_000) % 1_000_000_000
    let seconds = (utcOffset - below) / 1_000_000_000
    let hooks = HookPoint.allCases.map { "\"\($0.name)\" = \($0.rawValue)" }.joined(separator: ", ")
    return """
      /* CTF 1.8 */
      typealias integer { size = 8; align = 8; signed = false; } := uint8_t;
      typealias integer { size = 16; align = 8; signed = false; } := uint16_t;
      typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
      typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
      typealias integer { size = 64; align = 8; signed = true; } := int64_t;
      typealias integer { size = 8; align = 8; signed = false; base = hex; } := hex8_t;
      typealias integer { size = 32; align = 8; signed = false; base = hex; } := hex32_t;
      typealias integer { size = 64; align = 8; signed = false; base = hex; } := hex64_t;

      trace {
        major = 1;
        minor = 8;
        uuid = "\(uuid)";
        byte_order = le;
        packet.header := struct {
          uint32_t magic;
          uint8_t uuid[16];
          uint32_t stream_id;
        };
      };

      env {
        hostname = "\(Metadata.quote(hostname))";
        tracer_name = "latprobe";
        tracer_major = 1;
        tracer_minor = 0;
        latprobe_format = \(Format.current);
        session_id = "\(Metadata.quote(session))";
        machine = "\(Metadata.quote(machine))";
        boot_id = "\(Metadata.quote(bootID))";
      };

      clock {
        name = monotonic;
        description = "CLOCK_MONOTONIC, shown as UTC";
        freq = 1000000000;
        offset_s = \(seconds);
        offset = \(below);
        absolute = TRUE;
      };

      typealias integer {
        size = 64; align = 8; signed = false; map = clock.monotonic.value;
      } := monotonic_t;

      stream {
        id = 0;
        packet.context := struct {
          monotonic_t timestamp_begin;
          monotonic_t timestamp_end;
          uint64_t content_size;
          uint64_t packet_size;
          uint64_t events_discarded;
          uint32_t cpu_id;
          uint32_t packet_seq_num;
        };
        event.header := struct {
          monotonic_t timestamp;
          uint8_t id;
        };
      };

      enum hook_point : uint8_t { \(hooks) };
      typealias integer { size = 20; align = 1; signed = false; } := bits20_t;
      typealias integer { size = 8; align = 1; signed = false; } := bits8_t;
      typealias integer { size = 4; align = 1; signed = false; } := bits4_t;
      enum stamp_kind : bits4_t {
        "other" = 0, "udp" = 1, "tcp" = 2, "icmp" = 3, "fragment" = 4, "tcp-range" = 5
      };

      event {
        id = 0;
        name = "stamp";
        stream_id = 0;
        fields := struct {
          enum hook_point hook;
          uint16_t queue;
          bits20_t length;
          bits8_t header_words;
          enum stamp_kind kind;
          hex32_t flow;
          uint32_t sequence;
          hex64_t key;
        };
      };

      event {
        id = 1;
        name = "stamp_held";
        stream_id = 0;
        fields := struct {
          enum hook_point hook;
          uint16_t queue;
          bits20_t length;
          bits8_t header_words;
          enum stamp_kind kind;
          hex32_t flow;
          uint32_t sequence;
          hex64_t key;
          uint64_t at_ns;
        };
      };

      event {
        id = 2;
        name = "flow";
        stream_id = 0;
        fields := struct {
          uint8_t family;
          uint8_t protocol;
          uint8_t reserved0;
          hex32_t flow;
          uint16_t source_port;
          uint16_t destination_port;
          uint32_t reserved1;
          hex8_t source[16];
          hex8_t destination[16];
        };
      };

      event {
        id = 3;
        name = "clock_sample";
        stream_id = 0;
        fields := struct {
          uint8_t reserved[3];
          uint32_t window_ns;
          int64_t monotonic_raw_ns;
          int64_t realtime_ns;
          int64_t tai_ns;
          int64_t boottime_ns;
          uint64_t tsc;
        };
      };

      event {
        id = 4;
        name = "clock_exchange";
        stream_id = 0;
        fields := struct {
          uint8_t reserved[3];
          uint32_t peer;
          int64_t sent_ns;
          int64_t peer_received_ns;
          int64_t peer_sent_ns;
          int64_t received_ns;
        };
      };

      enum cross_method : uint8_t { "precise" = 0, "extended" = 1, "basic" = 2 };
      event {
        id = 5;
        name = "clock_cross";
        stream_id = 0;
        fields := struct {
          enum cross_method method;
          uint16_t device;
          uint32_t window_ns;
          int64_t device_ns;
          int64_t realtime_ns;
          int64_t monotonic_raw_ns;
        };
      };

      event {
        id = 6;
        name = "guest_counter";
        stream_id = 0;
        fields := struct {
          uint8_t fraction_bits;
          uint16_t vcpu;
          uint32_t guest;
          int64_t offset;
          uint64_t ratio;
        };
      };

      enum wire_clock : uint8_t {
        "file" = 0, "reader" = 1, "kernel" = 2, "hardware" = 3, "adapted" = 4
      };
      event {
        id = 7;
        name = "stamp_wire";
        stream_id = 0;
        fields := struct {
          enum hook_point hook;
          uint16_t queue;
          bits20_t length;
          bits8_t header_words;
          enum stamp_kind kind;
          hex32_t flow;
          uint32_t sequence;
          hex64_t key;
          int64_t at_ns;
          enum wire_clock time_source;
          uint8_t interface;
          uint16_t device;
          uint32_t reserved;
        };
      };

      event {
        id = 8;
        name = "pair";
        stream_id = 0;
        fields := struct {
          uint8_t flags;
          uint16_t name;
          uint32_t number;
          int64_t start_ns;
          int64_t end_ns;
          int64_t last_ns;
        };
      };

      event {
        id = 9;
        name = "drop";
        stream_id = 0;
        fields := struct {
          uint8_t reserved0;
          uint16_t reserved1;
          bits20_t length;
          bits8_t header_words;
          enum stamp_kind kind;
          hex32_t flow;
          uint32_t sequence;
          hex64_t key;
          uint32_t reason;
          hex32_t place;
        };
      };

      """
  }

  /// A TSDL string's content: escapes as in C.
  static func quote(_ text: String) -> String {
    var out = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F: out += "?"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  /// The trace's UUID, once byte order and format are known to be readable.
  static func identify(_ path: String) throws(RecordingError) -> TraceID {
    guard try Files.target(path) != nil else {
      throw RecordingError(
        .notARecording, path: path,
        "is missing: without it the streams cannot be read; restore it from a copy or record again")
    }
    let values = try values(path, of: ["latprobe_format", "byte_order", "uuid"])
    guard let number = values["latprobe_format"], let format = Int(number), format >= 1 else {
      throw RecordingError(
        .damaged, path: path,
        "is not metadata that latprobe wrote (no latprobe_format): restore it from a copy or record again")
    }
    if format > Format.current { throw .newer(path, format: format, reads: Format.current) }
    guard values["byte_order"] == "le" else {
      throw RecordingError(.damaged, path: path, "byte_order is not le; latprobe writes little-endian only")
    }
    guard let quoted = values["uuid"], quoted.count == 38, let uuid = TraceID(quoted.dropFirst().dropLast()) else {
      throw RecordingError(.damaged, path: path, "has no uuid: restore it from a copy or record again")
    }
    return uuid
  }

  /// A text of `env`, without its quotes; nil where there is none.
  static func value(_ name: String, _ path: String) throws(RecordingError) -> String? {
    try values(path, of: [name])[name[...]].map { String($0.dropFirst().dropLast()) }
  }

  /// The first `NAME = VALUE;` of each name.
  private static func values(_ path: String, of names: Set<String>) throws(RecordingError) -> [Substring: Substring] {
    let text = String(decoding: try Files.read(path, limit: Format.metadataLimit), as: UTF8.self)
    var values: [Substring: Substring] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let parts = line.split(separator: "=", maxSplits: 1).map { trim($0) }
      guard parts.count == 2, parts[1].hasSuffix(";") else { continue }
      if names.contains(String(parts[0])) && values[parts[0]] == nil { values[parts[0]] = trim(parts[1].dropLast()) }
    }
    return values
  }

  private static func trim(_ text: Substring) -> Substring {
    var text = text
    while let first = text.first, first.isWhitespace { text.removeFirst() }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return text
  }
}
