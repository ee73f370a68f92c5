// SPDX-License-Identifier: GPL-2.0-or-later
import Wording

/// Columns of a table for the terminal, which leaves out what does not fit.
struct TextTable {
  struct Column {
    var title: String
    var isLeft = false
    /// Columns with the greatest number go first where the line is too short; 0: stays.
    var drop = 0
    /// Not worth a word where it is left out.
    var isDecoration = false
  }

  enum Row {
    /// One a column.
    case cells([String])
    /// Below the cells of the row before it, wrapped.
    case text(String)
    case rule
  }

  var columns: [Column]
  var rows: [Row] = []
  static let indent = 2

  struct Rendered {
    var lines: [String]
    /// Titles of the columns that did not fit.
    var leftOut: [String]
  }

  /// - Parameters:
  ///   - width: of a line.
  ///   - paint: given each row's line and its number among ``rows``; only adds what takes no room.
  func rendered(width: Int, paint: (_ line: String, _ row: Int) -> String = { line, _ in line }) -> Rendered {
    var widths = columns.map(\.title.count)
    for case .cells(let cells) in rows {
      for (column, cell) in cells.enumerated() { widths[column] = max(widths[column], cell.count) }
    }
    var shown = columns.indices.filter { column in
      // A column without a word in it says nothing.
      columns[column].drop == 0
        || rows.contains { if case .cells(let cells) = $0 { !cells[column].isEmpty } else { false } }
    }
    var leftOut: [Int] = []
    var gap = 2
    func total(_ gap: Int) -> Int {
      TextTable.indent + shown.reduce(0) { $0 + widths[$1] } + gap * max(0, shown.count - 1)
    }
    while true {
      if total(2) <= width { break }
      if total(1) <= width {
        gap = 1
        break
      }
      guard let last = shown.filter({ columns[$0].drop > 0 }).max(by: { columns[$0].drop < columns[$1].drop }) else {
        gap = 1
        break
      }
      shown.removeAll { $0 == last }
      if !columns[last].isDecoration { leftOut.append(last) }
    }
    let space = String(repeating: " ", count: gap)
    let indent = String(repeating: " ", count: TextTable.indent)
    func line(_ cells: [String]) -> String {
      indent
        + shown.map { column in
          columns[column].isLeft
            ? Text.padded(cells[column], widths[column]) : Text.aligned(cells[column], widths[column])
        }.joined(separator: space).trimmingTrailingSpaces()
    }
    var lines = [line(columns.map(\.title))]
    for (number, row) in rows.enumerated() {
      switch row {
      case .cells(let cells): lines.append(paint(line(cells), number))
      case .rule: lines.append(indent + String(repeating: "─", count: total(gap) - TextTable.indent))
      case .text(let text):
        for (place, part) in Words.wrapped(text, width - 6).enumerated() {
          lines.append(paint((place == 0 ? "    └ " : "      ") + part, number))
        }
      }
    }
    return Rendered(lines: lines, leftOut: leftOut.sorted().map { columns[$0].title })
  }
}
