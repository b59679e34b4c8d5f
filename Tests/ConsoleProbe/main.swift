import CannedMachine
import Console
import Foundation
import Hardware
import Machine
import Panels

// The console around a canned machine, for the end-to-end tests. Not shipped.
//
//     consoleprobe [--scene NAME] [--log FILE] [--theme NAME] [--keymap NAME] [--host KEY] [--data FOLDER]
//                  [--manager sample|empty|wide|slow|200] [--reader] [--ask-host-key]
//                  [--ascii] [--mono] [--no-probe] [--released] [--crash-on-f11 segv|abort|trap] [--say TEXT]

var options = ConsoleOptions()
var scene = CannedMachine.Scene.prompt
var log: String?
var crash: String?
var say: String?
var manager: String?
options.asksHostKey = false
var arguments = CommandLine.arguments.dropFirst()

@MainActor func value() -> String { arguments.popFirst() ?? "" }

while let argument = arguments.popFirst() {
    switch argument {
    case "--scene": scene = CannedMachine.Scene(rawValue: value()) ?? .prompt
    case "--log": log = value()
    case "--theme": options.theme = value()
    case "--keymap": options.keymap = value()
    case "--host": options.hostKey = value()
    case "--data": options.dataFolder = value()
    case "--manager": manager = value()
    case "--reader": options.screenReader = true
    case "--ask-host-key": options.asksHostKey = true
    case "--ascii": options.ascii = true
    case "--mono": options.mono = true
    case "--no-probe": options.probe = false
    case "--released": options.captures = false
    case "--crash-on-f11": crash = value()
    case "--say": say = value()
    default:
        FileHandle.standardError.write(Data("consoleprobe: unknown option \(argument)\n".utf8))
        exit(64)
    }
}

let machine = CannedMachine(scene: scene, logPath: log) { [crash, say] key in
    if key == .f12, let say { FileHandle.standardError.write(Data((say + "\n").utf8)) }
    guard key == .f11, let crash else { return }
    switch crash {
    case "segv": raise(SIGSEGV)
    case "abort": abort()
    default:
        let empty: [Int] = []
        exit(Int32(truncatingIfNeeded: empty[key.rawValue.count]))
    }
}

let result: ConsoleResult
if let manager {
    let rows =
        switch manager {
        case "empty": [MachineRow]()
        case "sample", "slow": CannedLibrary.sample
        case "wide": CannedLibrary.sample + [CannedLibrary.row("kanji", "dos", group: "漢字の棚", notes: "漢字 と ｶﾅ, ü and e\u{301}")]
        default: (0..<(Int(manager) ?? 0)).map { CannedLibrary.row("machine \($0)", $0 % 2 == 0 ? "dos" : "linux-64", group: "g\($0 % 7)") }
        }
    result = runManager(library: CannedLibrary(rows, worksSlowly: manager == "slow"), options: options)
} else {
    result = runConsole(machine: machine, options: options)
}
func tell(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

switch result {
case .ended(let outcome):
    tell("ended: \(outcome)")
    exit(outcome.exitStatus)
case .detached: exit(0)
case .signalled(let number): exit(128 + number)
case .hangup: exit(129)
case .unusable(let sentence):
    tell(sentence)
    exit(2)
case .badData(let sentence):
    tell(sentence)
    exit(66)
}
