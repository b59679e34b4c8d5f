import Foundation
import Machine

/// A numbered list on the terminal; one key chooses.
struct DemoChooser {
    var guests: [DemoGuest]
    var host: Host

    /// nil: the user wants none.
    /// - Throws: `.wrongPlace` without a terminal.
    func choose() throws(MachineError) -> DemoGuest? {
        guard host.isTerminal() else {
            throw MachineError(.wrongPlace, "The list of guests needs a terminal; use 'vitrine demo --list' and 'vitrine demo NAME'.")
        }
        host.standardOutput(menu)
        while true {
            guard let key = readKey() else { return nil }
            switch key {
            case UInt8(ascii: "1")...UInt8(ascii: "9"):
                let index = Int(key - UInt8(ascii: "1"))
                guard guests.indices.contains(index) else { continue }
                guard guests[index].isReady else {
                    host.standardOutput("  \(index + 1) is not complete: \(guests[index].needs).\n")
                    continue
                }
                return guests[index]
            case UInt8(ascii: "q"), UInt8(ascii: "Q"), 0x1B, 0x03, 0x04: return nil
            default: continue
            }
        }
    }

    var menu: String {
        var text = "\nReal guests on this host:\n\n"
        for (index, guest) in guests.enumerated() {
            text += "  \(index + 1)  \(guest.title)\n"
            if !guest.isReady { text += "     not complete: \(guest.needs)\n" }
        }
        return text + "\nPress a number to start one, q to leave.\n"
    }

    /// One byte from the terminal without waiting for Enter; nil at its end.
    private func readKey() -> UInt8? {
        var saved = termios()
        guard tcgetattr(STDIN_FILENO, &saved) == 0 else { return nil }
        var raw = saved
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG)
        tcsetattr(STDIN_FILENO, TCSANOW, &raw)
        defer { tcsetattr(STDIN_FILENO, TCSANOW, &saved) }
        var byte: UInt8 = 0
        return read(STDIN_FILENO, &byte, 1) == 1 ? byte : nil
    }
}
