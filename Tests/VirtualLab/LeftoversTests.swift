// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing

@testable import VirtualLab

@Suite struct LeftoversTests {
  @Test func whatLivesIsKept() throws {
    let name = Leftovers.newName()
    #expect(!Leftovers.isLeft(name))
    #expect(name != Leftovers.newName())
    // The same PID, but another process had it.
    let parts = name.split(separator: "-")
    #expect(Leftovers.isLeft("lab-\(parts[1])-1-\(parts[3])"))
  }

  @Test func whatIsNotOursIsKept() {
    for name in ["lab-out", "lab-1317-47730", "lab-1-2-3-4", "lab-0x1-2-3", "xlab-1-2-3", "lab--2-3"] {
      #expect(!Leftovers.isLeft(name), "\(name)")
    }
  }

  @Test func whatTheDeadHaveLeftIsNot() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: folder) }
    let dead = try Command(["true"], in: folder)
    _ = try dead.wait()
    #expect(Leftovers.isLeft("lab-\(dead.pid)-12345-1"))
  }
}
