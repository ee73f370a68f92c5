// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// Which path a packet of a clock domain is on, by what its flow did in the whole recording.
struct PathChoice {
  /// By flow: index of its path; ``Flight/none`` for none.
  let ofFlow: [Int]
  /// The same of packets that only taps saw.
  let ofTapped: [Int]
  /// Ways between a tap's devices, where those tell in from out; the paths that they part, and each way's own one.
  var ways: WireWays?
  var wirePaths: Set<Int> = []
  var pathOfWay: [Way: Int] = [:]
  /// By path: the one of packets the other way, and the flows at a tap's points that go there.
  var back: [Int: (path: Int, flows: Set<UInt32>)] = [:]
  /// By flow: whether the filter takes it; empty without one.
  var isTaken: [Bool] = []
  /// By path and flow: place of the flow's group; empty without groups.
  var partOfFlow: [[Int]] = []

  init(ofFlow: [Int], ofTapped: [Int]) {
    self.ofFlow = ofFlow
    self.ofTapped = ofTapped
  }

  func path(of shape: Shape) -> Int {
    guard isTaken.isEmpty || isTaken[Int(shape.flow)] else { return Flight.none }
    var path = (shape.isOfTap ? ofTapped : ofFlow)[Int(shape.flow)]
    guard shape.input != nil || shape.output != nil else { return path }
    if wirePaths.contains(path), let way = ways?.way(of: shape), let own = pathOfWay[way] { path = own }
    if let back = back[path], let end = shape.input ?? shape.output, back.flows.contains(end.flow) { path = back.path }
    return path
  }

  func part(_ path: Int, _ flow: UInt32) -> Int { partOfFlow.isEmpty ? Flight.none : partOfFlow[path][Int(flow)] }
}

extension SessionAnalysis {
  func path(of shape: Shape, _ domain: Int) -> Int { choices[domain].path(of: shape) }
}
