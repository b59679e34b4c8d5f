import Foundation
import Hardware
import Machine
import Synchronization

/// A guest that is not there: takes the console's commands, notes them, echoes keys on a text screen. For tests.
public final class CannedMachine: MachineControl {
    public enum Scene: String, CaseIterable, Sendable {
        /// A prompt that echoes.
        case prompt
        /// All 256 characters; all 256 attributes.
        case glyphs, attributes
        case graphics, blank, blink, forty, big, palette
        /// A prompt in the last of 25 rows.
        case bottom
    }

    struct Content {
        var view = MachineView()
        var log: [String] = []
        var shift = false
        var typing: [Character] = []
        var isTyping = false
    }

    private let content: Mutex<Content>
    private let pipeEnds: (read: Int32, write: Int32)
    /// Called on the poster's thread with every key that goes down.
    private let onKey: (@Sendable (PCKey) -> Void)?
    private let logDescriptor: Int32

    /// - Parameter logPath: a file that gets a line for every command.
    public init(scene: Scene = .prompt, name: String = "demo", logPath: String? = nil, onKey: (@Sendable (PCKey) -> Void)? = nil) {
        var ends: [Int32] = [-1, -1]
        _ = pipe(&ends)
        for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        pipeEnds = (ends[0], ends[1])
        self.onKey = onKey
        logDescriptor = logPath.map { open($0, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600) } ?? -1
        var first = Content()
        first.view.name = name
        first.view.state = .running
        first.view.frame = CannedMachine.frame(scene)
        content = Mutex(first)
    }

    deinit {
        close(pipeEnds.read)
        close(pipeEnds.write)
        if logDescriptor >= 0 { close(logDescriptor) }
    }

    /// Answers as a debugger would.
    public let debugger = CannedDebugger()

    public func debug(_ request: DebugRequest, _ done: @escaping @Sendable (DebugReply) -> Void) {
        let (reply, stop) = debugger.answer(request, view().debugStop)
        if stop?.serial != view().debugStop?.serial || (stop == nil) != (view().debugStop == nil) {
            change { view in
                view.debugStop = stop
                if view.state == .running || view.state == .paused { view.state = stop == nil ? .running : .paused }
            }
        }
        done(reply)
    }

    public func facts(_ answer: @escaping @Sendable (MachineFacts?) -> Void) { answer(CannedMachine.facts) }

    public static let facts = MachineFacts(
        sentence: "triple fault",
        sections: [
            .init(
                "Registers",
                ["EAX 00001234  ECX 00000000  EDX 00000000  EBX 00000000", "EIP 00007C0A  EFL 00000246 PF ZF IF", "real mode, CPL 0, no paging"]),
            .init("Code", ["00007c0a  cd 10 e8 03 00 75 f4 f4 50 58 c3"]), .init("GDT", ["08 base 00000000 limit ffffffff code 32-bit"]),
            .init("Screen", ["Welcome to the canned guest."]), .init("Device pit", ["counter.0 FFFF", "counter.1 0012"]),
        ])

    public func saveReport(to path: String, _ done: @escaping @Sendable (MachineError?) -> Void) {
        content.withLock { $0.log.append("report \(path)") }
        done(nil)
    }

    public var wakeDescriptor: Int32 { pipeEnds.read }
    public func view() -> MachineView { content.withLock { $0.view } }
    public func pixels() -> PixelFrame? {
        view().frame.mode == .blank ? nil : PixelFrame(width: 2, height: 1, pixels: [0xFF_0000, 0x00_00FF])
    }

    /// Commands so far, as words.
    public var log: [String] { content.withLock { $0.log } }

    /// Changes what the console sees.
    public func change(_ body: @Sendable (inout MachineView) -> Void) {
        content.withLock {
            body(&$0.view)
            $0.view.generation += 1
        }
        wake()
    }

    private func wake() {
        var byte: UInt8 = 1
        _ = write(pipeEnds.write, &byte, 1)
    }

    public func post(_ command: MachineCommand) {
        let line = CannedMachine.words(command)
        content.withLock { $0.log.append(line) }
        if logDescriptor >= 0 {
            let bytes = Array((line + "\n").utf8)
            _ = write(logDescriptor, bytes, bytes.count)
        }
        switch command {
        case .key(let key, let down):
            if down { onKey?(key) }
            content.withLock { $0.press(key, down) }
        case .type(let text): type(text)
        case .pause: content.withLock { $0.view.state = .paused }
        case .resume: content.withLock { $0.view.state = .running }
        case .reset: content.withLock { $0.view.frame = CannedMachine.frame(.prompt) }
        case .acpiPowerButton, .powerOff, .saveState:
            content.withLock {
                $0.view.state = .off
                switch command {
                case .powerOff: $0.view.outcome = .poweredOffByUser
                case .saveState: $0.view.outcome = .saved
                default: $0.view.outcome = .poweredOff
                }
            }
        case .releaseAllKeys, .mouse, .serialInput, .balloon, .eject, .insert: return
        }
        content.withLock { $0.view.generation += 1 }
        wake()
    }

    /// A command in words, as the log has it.
    public static func words(_ command: MachineCommand) -> String {
        switch command {
        case .key(let key, let down): "\(down ? "+" : "-")\(key.rawValue)"
        case .releaseAllKeys: "release-all"
        case .type(let text): "type \(text)"
        case .mouse(let dx, let dy, let buttons, let wheel): "mouse \(dx) \(dy) \(buttons) \(wheel)"
        case .serialInput(let port, let bytes): "serial \(port) \(bytes.count)"
        case .pause: "pause"
        case .resume: "resume"
        case .reset: "reset"
        case .acpiPowerButton: "acpi"
        case .balloon(let mib): "balloon \(mib)"
        case .powerOff: "power-off"
        case .saveState: "save-state"
        case .eject(let bay): "eject \(bay)"
        case .insert(let bay, let path): "insert \(bay) \(path)"
        }
    }

    /// Types a character a millisecond, as a guest that takes its time.
    private func type(_ text: String) {
        let start = content.withLock { content in
            content.typing += Array(text)
            content.view.typingLeft += text.count
            content.view.typingTotal = max(content.view.typingTotal, content.view.typingLeft)
            defer { content.isTyping = true }
            return !content.isTyping
        }
        guard start else { return }
        let thread = Thread { [self] in
            while true {
                usleep(1000)
                let more = content.withLock { content in
                    guard !content.typing.isEmpty else {
                        content.isTyping = false
                        content.view.typingTotal = 0
                        return false
                    }
                    content.echo(content.typing.removeFirst())
                    content.view.typingLeft -= 1
                    content.view.generation += 1
                    return true
                }
                wake()
                if !more { return }
            }
        }
        thread.start()
    }
}

extension CannedMachine.Content {
    mutating func press(_ key: PCKey, _ down: Bool) {
        if key == .leftShift || key == .rightShift { shift = down }
        guard down else { return }
        switch key {
        case .enter: echo("\n")
        case .space: echo(" ")
        default:
            if key.rawValue.count == 1, let letter = key.rawValue.first {
                echo(shift ? Character(letter.uppercased()) : letter)
            } else if key.rawValue.hasPrefix("digit"), let digit = key.rawValue.last {
                echo(digit)
            }
        }
    }

    mutating func echo(_ character: Character) {
        var cursor = view.frame.cursor
        let columns = view.frame.columns, rows = view.frame.rows
        if character == "\n" {
            cursor.column = 0
            cursor.row += 1
        } else {
            view.frame.cells[cursor.row * columns + cursor.column] = 0x0700 | UInt16(character.asciiValue ?? 0x3F)
            cursor.column += 1
            if cursor.column == columns {
                cursor.column = 0
                cursor.row += 1
            }
        }
        if cursor.row == rows {
            view.frame.cells.removeFirst(columns)
            view.frame.cells += [UInt16](repeating: 0x0720, count: columns)
            cursor.row = rows - 1
        }
        view.frame.cursor = cursor
    }
}
