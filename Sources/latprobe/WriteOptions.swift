// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Recording

/// Who may read what a command writes, and where root writes it.
struct WriteOptions: ParsableArguments {
  @Flag(help: "Others may read what is written, as far as the umask lets them; default: only you.")
  var shared = false

  @Flag(help: "As root: write also where another user could exchange what is written.")
  var foreign = false

  /// For all that this process writes from now on.
  func apply() { WritePolicy.set(shared: shared, foreign: foreign) }
}
