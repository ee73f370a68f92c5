// SPDX-License-Identifier: GPL-2.0-or-later

/// What somebody meant who mistyped a name.
extension Words {
  /// What begins with the word, else the one name a few letters away from it, whatever the case; nil if nothing is near.
  package static func nearest(to word: String, among names: [String]) -> String? {
    let word = word.lowercased()
    let letters = word.drop { $0 == "-" }.count
    // A whole file may stand where a name belongs.
    guard letters <= 64 else { return nil }
    if letters >= 2, let name = names.first(where: { $0.lowercased().hasPrefix(word) }) { return name }
    let distances = names.map { (name: $0, distance: distance(word, $0.lowercased())) }
    guard let best = distances.min(by: { $0.distance < $1.distance }), best.distance <= max(1, letters / 3) else {
      return nil
    }
    // Of several that are as near, nobody knows which was meant.
    return distances.count { $0.distance == best.distance } == 1 ? best.name : nil
  }

  /// `did you mean 'record'?`, else what there is: `there are …`.
  package static func choice(of word: String, among names: [String]) -> String {
    if let name = nearest(to: word, among: names) { return "did you mean '\(name)'?" }
    return "there \(names.count == 1 ? "is" : "are") \(names.joined(separator: ", "))"
  }

  /// Letters to insert, leave out, change, or swap with their neighbour (optimal string alignment).
  static func distance(_ left: String, _ right: String) -> Int {
    let (left, right) = (Array(left), Array(right))
    var rows = [Array(0...right.count)]
    for (i, letter) in left.enumerated() {
      var row = [i + 1]
      for (j, other) in right.enumerated() {
        var best = min(row[j] + 1, rows[i][j + 1] + 1, rows[i][j] + (letter == other ? 0 : 1))
        if i > 0, j > 0, letter == right[j - 1], left[i - 1] == other { best = min(best, rows[i - 1][j - 1] + 1) }
        row.append(best)
      }
      rows.append(row)
    }
    return rows[left.count][right.count]
  }
}
