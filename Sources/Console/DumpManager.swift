import DataFiles
import Foundation
import Machine
import Panels
import Terminal

/// The manager without a terminal: keys in, the screen as text out. For tests and for reports of faults.
///
/// - Parameter keys: names as in keymaps, separated by blanks; other words are typed. `wait` lets answers of the machines come in.
/// - Throws: a sentence when a theme, a keymap or the size is not usable.
@MainActor
public func dumpManager(library: any MachineLibrary, size: String, keys: String, options: ConsoleOptions) throws(DataError) -> String {
    let parts = size.split(separator: "x").compactMap { Int($0) }
    guard parts.count == 2, (1...1000).contains(parts[0]), (1...1000).contains(parts[1]) else {
        throw DataError(file: "--screen", message: "'\(size)' is not a size; an example is 80x24")
    }
    let folders = DataFolders.standard(extra: options.dataFolder)
    var options = options
    options.adopt(try Preferences.check(folders))
    let model = ManagerModel(try managerSettings(options, folders, library, asksHostKey: false))
    let front = ManagerFront(library: library, options: options, folders: folders, model: model)
    front.resize(Size(width: parts[0], height: parts[1]), at: TerminalLoop.clock())
    front.settle(seconds: 5)
    for word in keys.split(separator: " ") where !front.isFinished {
        let word = String(word)
        if word == "wait" {
            front.settle(seconds: 5)
        } else if word.unicodeScalars.count > 1, let chord = Chord(word) {
            front.press(chord)
        } else {
            for scalar in word.unicodeScalars { front.press(Chord(.character(scalar))) }
        }
    }
    front.settle(seconds: 1)
    var surface = front.draw(at: TerminalLoop.clock())
    if options.ascii { surface = surface.reduced(to: .ascii) }
    return surface.text + "\n"
}

extension ManagerFront {
    func press(_ chord: Chord) {
        let now = TerminalLoop.clock()
        handle(.key(KeyEvent(chord.key, chord.modifiers)), at: now)
        settle(seconds: 0.2)
    }

    /// Takes in what comes until nothing has come for a moment.
    func settle(seconds: Double) {
        let end = TerminalLoop.clock() + UInt64(seconds * 1000)
        var quiet: Int32 = 0
        while TerminalLoop.clock() < end, quiet < 3 {
            var descriptors = wakeDescriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&descriptors, nfds_t(descriptors.count), 20) > 0 else {
                // Machines that are being connected to are worth waiting for.
                if connecting.isEmpty { quiet += 1 }
                continue
            }
            quiet = 0
            let woken = Set(descriptors.filter { $0.revents != 0 }.map(\.fd))
            for descriptor in woken {
                var bytes = [UInt8](repeating: 0, count: 4096)
                _ = read(descriptor, &bytes, bytes.count)
            }
            self.woken(by: woken, at: TerminalLoop.clock())
        }
        tick(at: TerminalLoop.clock())
    }
}
