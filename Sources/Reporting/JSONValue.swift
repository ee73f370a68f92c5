// SPDX-License-Identifier: GPL-2.0-or-later
internal import Recording

/// A JSON tree that keeps the order of its keys and writes null where a figure cannot be given.
///
/// Trade: Foundation's encoder drops nil fields and sorts keys or leaves them to chance; readers of `report.json`
/// rely on the field being there, and people on its order.
package indirect enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case integer(Int64)
  case unsigned(UInt64)
  /// Written as null if it is not finite.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([Field])

  package struct Field: Sendable, Equatable {
    package var name: String
    package var value: JSONValue
  }

  static func fields(_ fields: [(String, JSONValue)]) -> JSONValue {
    .object(fields.map { Field(name: $0.0, value: $0.1) })
  }
  static func map(_ strings: [String: String]) -> JSONValue {
    fields(strings.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
  }
  static func map(_ counts: [String: Count]) -> JSONValue {
    fields(counts.sorted { $0.key < $1.key }.map { ($0.key, .count($0.value)) })
  }
  static func count(_ number: Int) -> JSONValue { .integer(Int64(number)) }
  static func count(_ number: Count) -> JSONValue { .integer(Int64(number.value)) }
  static func optional(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
  static func optional(_ value: Double?) -> JSONValue { value.map { .number($0) } ?? .null }
  static func optional(_ value: Int64?) -> JSONValue { value.map { .integer($0) } ?? .null }
  static func optional(_ value: UInt64?) -> JSONValue { value.map { .unsigned($0) } ?? .null }

  /// The field's value; nil if this is no object or has no such field.
  package subscript(name: String) -> JSONValue? {
    guard case .object(let fields) = self else { return nil }
    return fields.first { $0.name == name }?.value
  }

  /// UTF-8 text with two spaces of indent and a newline at the end; flat values stay on one line.
  package var text: String {
    var text = ""
    write(to: &text, indent: 0)
    text += "\n"
    return text
  }

  private var isFlat: Bool {
    switch self {
    case .array(let values): values.isEmpty
    case .object(let fields): fields.isEmpty
    default: true
    }
  }

  private func write(to text: inout String, indent: Int) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .unsigned(let value): text += String(value)
    case .number(let value): text += value.isFinite ? "\(value)" : "null"
    case .string(let value): JSONValue.quote(value, to: &text)
    case .array(let values):
      JSONValue.list(values, "[", "]", values.allSatisfy(\.isFlat), to: &text, indent: indent) { value, text in
        value.write(to: &text, indent: indent + 2)
      }
    case .object(let fields):
      let short = fields.count <= 5 && fields.allSatisfy(\.value.isFlat)
      JSONValue.list(fields, "{", "}", short && indent > 0, to: &text, indent: indent) { field, text in
        JSONValue.quote(field.name, to: &text)
        text += ": "
        field.value.write(to: &text, indent: indent + 2)
      }
    }
  }

  private static func list<Element>(
    _ elements: [Element], _ open: String, _ close: String, _ onOneLine: Bool, to text: inout String, indent: Int,
    _ write: (Element, inout String) -> Void
  ) {
    let lineBreak = onOneLine ? "" : "\n" + String(repeating: " ", count: indent + 2)
    text += open
    for (number, element) in elements.enumerated() {
      if number > 0 { text += onOneLine ? ", " : "," }
      text += lineBreak
      write(element, &text)
    }
    if !onOneLine, !elements.isEmpty { text += "\n" + String(repeating: " ", count: indent) }
    text += close
  }

  private static func quote(_ string: String, to text: inout String) {
    text += "\"" + Text.json(string) + "\""
  }
}
