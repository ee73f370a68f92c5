// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// Running gnuplot and writing for it.
enum Gnuplot {
  static let remedy = "install gnuplot (Debian: apt install gnuplot-nox) and run 'gnuplot *.gp' in"
  private static let formats = ["svg", "png"]

  /// Draws each figure as `NAME.svg` and `NAME.png`.
  ///
  /// gnuplot gets script and data on its standard input and gives the picture on its standard output: a file that somebody
  /// exchanges meanwhile is none that it reads.
  /// - Returns: one line for each picture that is missing, with the remedy; one for all if there is no gnuplot.
  static func draw(
    _ figures: [Plots.Figure], in folder: borrowing Folder, by drawer: Drawer = .shared
  ) throws(FileError) -> [String] {
    let place = Text.plain(folder.path)
    var notes: [String] = []
    for figure in figures {
      formats: for format in formats {
        switch drawer.draw(piped(figure, as: format)) {
        case .picture(let bytes):
          var file = try OutputFile(in: folder, "\(figure.name).\(format)")
          file.append(bytes)
          try file.finish()
        case .missing: return ["no plots: gnuplot is not installed; \(remedy) \(place)"]
        case .notRun(let reason): return ["no plots: gnuplot could not be run (\(reason)); the scripts are in \(place)"]
        case .failed(let complaint):
          let lines = complaint.split(whereSeparator: \.isNewline).map { $0.drop { $0 == " " } }
          let line = lines.first { $0.contains("line ") } ?? lines.last ?? "it does not say why"
          notes.append(
            "no plot \(figure.name): gnuplot failed (\(Text.plain(String(line)))); the script is in \(place)")
          break formats
        }
      }
    }
    return notes
  }

  /// The script with its data in it, that draws to standard output.
  static func piped(_ figure: Plots.Figure, as format: String) -> String {
    // Nobody can have put it into the data.
    let end = "EOD\(UInt64.random(in: 0...UInt64.max))"
    var script = figure.script
      .replacing("in 'svg png'", with: "in '\(format)'", maxReplacements: 1)
      .replacing("set output '\(figure.name).' . format\n", with: "", maxReplacements: 1)
    var blocks = ""
    for (number, file) in figure.data.enumerated() {
      blocks += "$d\(number) << \(end)\n\(file.text)\n\(end)\n"
      script = script.replacing("'\(file.name)'", with: "'$d\(number)'")
    }
    return blocks + script
  }

  /// A gnuplot string in single quotes: nothing in it is special but the quote itself. No line breaks.
  ///
  /// Doubled quotes at the beginning gnuplot takes for an empty string: they go into a string of their own, in double quotes.
  static func quoted(_ text: String) -> String {
    let quotes = text.prefix { $0 == "'" }
    guard quotes.isEmpty else {
      let rest = text.dropFirst(quotes.count)
      return "\"\(quotes)\"" + (rest.isEmpty ? "" : ".\(quoted(String(rest)))")
    }
    return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
  }

  /// A name or another text of a user's as a gnuplot string. Braces become parentheses, as gnuplot counts those of a
  /// block within strings too.
  static func label(_ text: String) -> String {
    quoted(String(Text.plain(text).map { $0 == "{" ? "(" : $0 == "}" ? ")" : $0 }))
  }

  /// Colours that people with colour-blindness tell apart (Okabe and Ito), the end-to-end line in black.
  static let colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#8C564B"]

  /// Script around `body` that draws it as SVG and as PNG; `body` must leave no state that hurts the second time.
  /// Several panels drop label 1, the footer, after the first.
  static func script(name: String, height: Int = 700, footer: String, body: String) -> String {
    """
    # Draws \(name).svg and \(name).png: run 'gnuplot \(name).gp' in this folder.
    set encoding utf8
    set datafile separator ','
    set border linewidth 1 linecolor rgb '#404040'
    set grid back xtics ytics linetype 1 linewidth 0.7 linecolor rgb '#d8d8d8'
    set tics nomirror textcolor rgb '#202020'
    do for [format in 'svg png'] {
    if (format eq 'svg') {
      set terminal svg size 1200,\(height) dynamic noenhanced rounded font 'DejaVu Sans,Arial,sans-serif,14' background rgb 'white'
    } else {
      set terminal pngcairo size 1200,\(height) noenhanced rounded font 'Sans,13' background rgb 'white'
    }
    set output '\(name).' . format
    set label 1 \(label(footer)) at screen 0.012, screen \(14.0 / Double(height)) left font ',11' textcolor rgb '#707070'
    \(body)
    unset output
    }

    """
  }

  /// Tics of a logarithmic axis within a range, at the powers of ten as plain numbers (`0.1`, `1`, `10`, `1 000`),
  /// small ones between them; 2 and 5 have their number too where there would be hardly any.
  static func logarithmicTics(_ range: ClosedRange<Double>, mostDecades: Int = 9) -> String {
    let first = floorDecade(range.lowerBound)
    let last = floorDecade(range.upperBound)
    let isShort = last - first <= 2
    let stride = max(1, (last - first + mostDecades) / mostDecades)
    var tics: [String] = []
    for exponent in first...last {
      for digit in 1...9 {
        let isInRange = Double("\(digit)e\(exponent)").map(range.contains) ?? false
        guard isInRange else { continue }
        if digit == 1 && (last - exponent) % stride == 0 || isShort && (digit == 2 || digit == 5) {
          tics.append("'\(number(digit, exponent))' \(digit)e\(exponent)")
        } else {
          tics.append("'' \(digit)e\(exponent) 1")
        }
      }
    }
    return "(" + tics.joined(separator: ", ") + ")"
  }

  /// digit · 10^exponent with a thin space between thousands.
  private static func number(_ digit: Int, _ exponent: Int) -> String {
    guard exponent >= 0 else { return "0." + String(repeating: "0", count: -exponent - 1) + "\(digit)" }
    var digits = Array("\(digit)" + String(repeating: "0", count: exponent))
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
}
