// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing

extension IntegrationSuites {
  /// How the pages are written down, so that they can be read and changed in any editor.
  @Suite struct DocumentedProseTests {
    /// README, docs and those of the folders, as paths below the root.
    private static func pages() throws -> [String] {
      let root = DocumentedPage.root
      var pages: [String] = []
      for folder in ["", "docs", "docs/decisions", "benchmarks", "lab", "Tests"] {
        let path = root.appendingPathComponent(folder).path
        for name in try FileManager.default.contentsOfDirectory(atPath: path).sorted() where name.hasSuffix(".md") {
          pages.append(folder.isEmpty ? name : "\(folder)/\(name)")
        }
      }
      return pages
    }

    /// Lines outside of code, with their numbers.
    private static func prose(_ page: String) throws -> [(number: Int, text: String)] {
      let text = try String(contentsOf: DocumentedPage.root.appendingPathComponent(page), encoding: .utf8)
      var isFenced = false
      return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap { index, line in
        if line.hasPrefix("```") {
          isFenced.toggle()
          return nil
        }
        return isFenced || line.hasPrefix("    ") ? nil : (index + 1, String(line))
      }
    }

    /// A link or a word that is longer than a line cannot be broken.
    @Test func linesHave100CharactersAtMost() throws {
      var count = 0
      for page in try Self.pages() {
        for line in try Self.prose(page) where !line.text.hasPrefix("|") {
          count += 1
          let words = line.text.drop { " -*>0123456789.#".contains($0) }
          let canBreak = words.contains(" ") && !words.hasPrefix("[") && !words.hasPrefix("![")
          #expect(line.text.count <= 100 || !canBreak, "\(page):\(line.number): \(line.text.count) characters")
        }
      }
      #expect(count > 2000)
    }

    /// Not broken over lines, which cannot be copied.
    @Test func codeStandsOnOneLine() throws {
      for page in try Self.pages() {
        for line in try Self.prose(page) {
          #expect(line.text.count { $0 == "`" }.isMultiple(of: 2), "\(page):\(line.number): \(line.text)")
        }
      }
    }

    /// What takes more than two lines is a list's item or a paragraph.
    @Test func cellsAreNoParagraphs() throws {
      for page in try Self.pages() {
        for line in try Self.prose(page) where line.text.hasPrefix("|") {
          for cell in line.text.split(separator: "|") {
            #expect(cell.count <= 200, "\(page):\(line.number): a cell of \(cell.count) characters")
          }
        }
      }
    }

    /// Each page is in the index, and each link of a page leads somewhere.
    @Test func linksLeadSomewhere() throws {
      let files = FileManager.default
      let index = try String(contentsOf: DocumentedPage.root.appendingPathComponent("docs/README.md"), encoding: .utf8)
      for page in try Self.pages() {
        if page.hasPrefix("docs/"), !page.hasPrefix("docs/decisions/"), page != "docs/README.md" {
          #expect(index.contains("(\(page.dropFirst(5))"), "docs/README.md does not name \(page)")
        }
        let folder = DocumentedPage.root.appendingPathComponent(page).deletingLastPathComponent()
        let text = try Self.prose(page).map(\.text).joined(separator: " ")
        for match in text.matches(of: #/\]\(([^)#]*)(#[^)]*)?\)/#) where !match.1.isEmpty && !match.1.contains("://") {
          let target = folder.appendingPathComponent(String(match.1)).standardizedFileURL.path
          #expect(files.fileExists(atPath: target), "\(page): no \(match.1)")
        }
      }
    }
  }
}
