// SPDX-License-Identifier: GPL-2.0-or-later
import Subprocess

/// Running gnuplot and writing for it.
enum Gnuplot {
  static let remedy = "install gnuplot (Debian: apt install gnuplot-nox) and run 'gnuplot *.gp' in"

  /// Runs `NAME.gp` of each name in `directory`.
  /// - Returns: one line for each picture that is missing, with the remedy; one for all if there is no gnuplot.
  static func draw(_ names: [String], in directory: String, executable: String = "gnuplot") async -> [String] {
    let place = Text.plain(directory)
    var notes: [String] = []
    for name in names {
      do {
        let result = try await run(
          .name(executable), arguments: ["-e", "cd \(quoted(directory))", "\(name).gp"], output: .discarded,
          error: .string(limit: 64 << 10))
        guard !result.terminationStatus.isSuccess else { continue }
        let lines = result.standardError.split(whereSeparator: \.isNewline).map { $0.drop { $0 == " " } }
        let complaint = lines.first { $0.contains("line ") } ?? lines.last ?? "it does not say why"
        notes.append("no plot \(name): gnuplot failed (\(Text.plain(String(complaint)))); the script is in \(place)")
      } catch let error as SubprocessError where error.code == .executableNotFound {
        return ["no plots: gnuplot is not installed; \(remedy) \(place)"]
      } catch {
        return ["no plots: gnuplot could not be run (\(Text.plain("\(error)"))); the scripts are in \(place)"]
      }
    }
    return notes
  }

  /// A single-quoted gnuplot string: nothing in it is special but the quote itself. No line breaks.
  static func quoted(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
  }

  /// A name or another text of a user's as a gnuplot string. Braces become parentheses, as gnuplot counts those of a
  /// block within strings too.
  static func label(_ text: String) -> String {
    quoted(String(Text.plain(text).map { $0 == "{" ? "(" : $0 == "}" ? ")" : $0 }))
  }

  /// Colours that people with colour-blindness tell apart (Okabe and Ito), the end-to-end line in black.
  static let colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#8C564B"]

  /// Script around `body` that draws it as SVG and as PNG; `body` must leave no state that hurts the second time.
  static func script(name: String, height: Int = 700, footer: String, body: String) -> String {
    """
    # Draws \(name).svg and \(name).png: run 'gnuplot \(name).gp' in this folder.
    set encoding utf8
    set datafile separator ','
    set border linewidth 1 linecolor rgb '#404040'
    set grid xtics ytics linewidth 1 linecolor rgb '#dddddd'
    set tics nomirror textcolor rgb '#202020'
    set label 1 \(label(footer)) at screen 0.012, screen \(14.0 / Double(height)) left font ',11' textcolor rgb '#707070'
    do for [format in 'svg png'] {
    if (format eq 'svg') {
      set terminal svg size 1200,\(height) dynamic noenhanced font 'DejaVu Sans,Arial,sans-serif,14' background rgb 'white'
    } else {
      set terminal pngcairo size 1200,\(height) noenhanced font 'Sans,13' background rgb 'white'
    }
    set output '\(name).' . format
    \(body)
    unset output
    }

    """
  }

  /// Tics at the powers of ten from `low` to `high` as plain numbers: `0.1`, `1`, `10`, `1 000`.
  static func decadeTics(_ low: Int, _ high: Int) -> String {
    let tics = (low...max(low, high)).map { "'\(decade($0))' 1e\($0)" }
    return "(" + tics.joined(separator: ", ") + ")"
  }

  private static func decade(_ exponent: Int) -> String {
    guard exponent >= 0 else { return "0." + String(repeating: "0", count: -exponent - 1) + "1" }
    var digits = Array("1" + String(repeating: "0", count: exponent))
    guard digits.count > 3 else { return String(digits) }
    var position = digits.count - 3
    while position > 0 {
      digits.insert("\u{202F}", at: position)
      position -= 3
    }
    return String(digits)
  }

  /// Largest power of ten not above a positive number.
  static func floorDecade(_ value: Double) -> Int {
    var exponent = 0
    var power = 1.0
    while power * 10 <= value, exponent < 18 { (power, exponent) = (power * 10, exponent + 1) }
    while power > value, exponent > -18 { (power, exponent) = (power / 10, exponent - 1) }
    return exponent
  }

  /// Smallest power of ten not below a positive number.
  static func ceilDecade(_ value: Double) -> Int {
    let floor = floorDecade(value)
    var power = 1.0
    for _ in 0..<abs(floor) { power = floor > 0 ? power * 10 : power / 10 }
    return power < value * (1 - 1e-12) ? floor + 1 : floor
  }
}
